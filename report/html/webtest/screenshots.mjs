// screenshots.mjs SITE OUT [NAME...] takes the pictures of the documentation, of a report of examples/filewatch:
//
//	WEBTEST_MODULES=build/webtest node report/html/webtest/screenshots.mjs bpfcov-out/html docs/img
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.resolve(process.env.WEBTEST_MODULES) + '/');
const { chromium } = require('playwright-core');
const [site, out, ...names] = process.argv.slice(2);
const shots = [
  { name: 'html-matrix', hash: '#/', width: 1280, height: 800 },
  { name: 'html-source', hash: '#/file/match.h?line=33', width: 1280, height: 760, dark: true },
  { name: 'html-programs', hash: '#/programs?open=open_fentry+Tracing', width: 1280, height: 560 },
  { name: 'html-phone', hash: '#/file/kernel.h?show=differs', width: 390, height: 760, phone: true },
  // Only of the report of docs/pull-request.md.
  { name: 'pull-request', hash: '#/file/filewatch.bpf.c?line=179', width: 1280, height: 640, other: true },
];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
for (const s of shots.filter((x) => (names.length ? names.includes(x.name) : !x.other))) {
  const page = await browser.newPage({ viewport: { width: s.width, height: s.height }, colorScheme: s.dark ? 'dark' : 'light', isMobile: Boolean(s.phone), hasTouch: Boolean(s.phone) });
  const index = pathToFileURL(path.resolve(site, 'index.html')).href;
  // Names depend on where the repository begins; the tree has them in full.
  await page.goto(index + '#/file');
  await page.waitForSelector('.tree-file', { state: 'attached' });
  const file = /^#\/file\/([^?]+)/.exec(s.hash);
  const full = file && (await page.locator(`.tree-file[title$="/${file[1]}"]`).getAttribute('title'));
  await page.goto('about:blank');
  await page.goto(index + (file ? s.hash.replace(file[1], full) : s.hash));
  await page.waitForSelector('.strip, .spark');
  await page.waitForTimeout(300);
  // WebP is a fifth of PNG; the driver's own screenshots have no such format.
  const cdp = await page.context().newCDPSession(page);
  const { data } = await cdp.send('Page.captureScreenshot', { format: 'webp', quality: 74 });
  writeFileSync(path.join(out, s.name + '.webp'), Buffer.from(data, 'base64'));
  await page.close();
}
await browser.close();
