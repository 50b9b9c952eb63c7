// Data files are scripts of one call, bpfcovData(name, x), because fetch() does not work on file://.

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy('bpfcov', {
      createScriptURL(url) {
        if (!/^data\/[a-z]+[0-9]*\.js$/.test(url)) throw new TypeError('not a data file: ' + url);
        return url;
      },
    })
  : { createScriptURL: (url) => url };

const arrived = new Map(); // name to what the script passed
const loading = new Map(); // name to a promise of the parsed data

Object.defineProperty(window, 'bpfcovData', { value: (name, x) => arrived.set(String(name), x) });

// load returns a promise of a data file's content; it is read once.
function load(name) {
  if (!loading.has(name)) loading.set(name, read(name));
  return loading.get(name);
}

function read(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = policy.createScriptURL('data/' + name + '.js');
    script.addEventListener('error', () => reject(new Error(`data/${name}.js is missing; copy the whole folder of the report`)));
    script.addEventListener('load', () => {
      script.remove();
      const x = arrived.get(name);
      arrived.delete(name);
      if (x === undefined) reject(new Error(`data/${name}.js is damaged`));
      else resolve(typeof x === 'string' ? inflate(x) : x);
    });
    document.head.append(script);
  });
}

// inflate reads base64 of raw DEFLATE of JSON.
async function inflate(text) {
  if (!window.DecompressionStream) throw new Error('this browser is too old for a report of this size: it has no DecompressionStream');
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return JSON.parse(await new Response(stream).text());
}

// report is data/report.js once it is there.
let report = null;

// expand returns the states of a vector, one index into table.states a cell. It keeps what it has expanded.
function expand(table, vec) {
  if (!table.expanded) table.expanded = [];
  let out = table.expanded[vec];
  if (!out) {
    const runs = table.vecs[vec];
    out = new Uint32Array(report.cells.length);
    for (let i = 0, at = 0; i < runs.length; i += 2) {
      out.fill(runs[i], at, at + runs[i + 1]);
      at += runs[i + 1];
    }
    table.expanded[vec] = out;
  }
  return out;
}

// statusesOf returns the status of each cell.
function statusesOf(table, vec) {
  if (!table.statuses) table.statuses = [];
  return (table.statuses[vec] ||= Uint8Array.from(expand(table, vec), (k) => table.states[k][0]));
}

// stateAt returns what a position is in one cell.
function stateAt(table, vec, counts, cell) {
  const states = expand(table, vec);
  const [status, reason] = table.states[states[cell]];
  let count = 0;
  if (status === HIT) {
    let k = 0;
    for (let i = 0; i < cell; i++) if (table.states[states[i]][0] === HIT) k++;
    count = table.counts[counts][k];
  }
  return { status, reason, count };
}

// sumOf adds the counts of all cells. It is a text where a number would round.
function sumOf(table, counts) {
  if (!table.sums) table.sums = [];
  let out = table.sums[counts];
  if (out === undefined) {
    let sum = 0n;
    for (const n of table.counts[counts]) sum += BigInt(n);
    const most = 0xffffffffffffffffn;
    if (sum > most) sum = most;
    out = table.sums[counts] = sum <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(sum) : String(sum);
  }
  return out;
}
