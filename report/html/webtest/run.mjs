// run.mjs runs the browser tests; `go test ./report/html` starts it and reads what it prints.
import { run } from './harness.mjs';
import './pages.test.mjs';
import './source.test.mjs';
import './other.test.mjs';

await run();
