// paint.mjs SITE measures how fast Chromium shows a site from disk: medians of five fresh browser contexts.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.resolve(process.env.WEBTEST_MODULES) + '/');
const { chromium } = require('playwright-core');
const site = pathToFileURL(path.resolve(process.argv[2], 'index.html')).href;
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
const samples = new Map();

function note(name, ms) {
  if (!samples.has(name)) samples.set(name, []);
  samples.get(name).push(ms);
}

// until waits in the page, frame by frame, and returns when that was, in the page's own time.
const until = (page, selector) => page.waitForFunction((s) => document.querySelector(s) && performance.now(), selector, { polling: 'raf', timeout: 120000 }).then((h) => h.jsonValue());

// after measures from an action in the page until a selector is there and a frame has been drawn.
async function after(page, action, selector) {
  const start = await page.evaluate(() => performance.now());
  await action();
  return (await until(page, selector)) - start;
}

for (let i = 0; i < 5; i++) {
  const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
  await page.goto(site);
  note('first page: all rows of the matrix are there', await until(page, '.matrix tbody tr'));
  // The browser reports a paint a little later.
  const entry = await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime, null, { polling: 'raf' });
  note('first page: first contentful paint', await entry.jsonValue());
  note('largest file: lines are drawn', await after(page, () => page.evaluate(() => { location.hash = '#/file/unit00.bpf.c'; }), '.row .strip'));
  note('largest file: filter "differs"', await after(page, () => page.selectOption('#show', 'differs'), '.row.fold'));
  note('largest file: jump to the end', await after(page, () => page.locator('.viewport').press('End'), '.detail'));
  note('largest file: frame while scrolling, slowest of 60', await page.evaluate(async () => {
    const v = document.querySelector('.viewport');
    v.scrollTop = 0;
    let slowest = 0, last = 0;
    for (let k = 0; k < 61; k++) {
      const t = await new Promise(requestAnimationFrame);
      if (last) slowest = Math.max(slowest, t - last);
      last = t;
      v.scrollTop += 900;
    }
    return slowest;
  }));
  note('functions', await after(page, () => page.evaluate(() => { location.hash = '#/functions'; }), '.list tbody tr'));
  note('programs', await after(page, () => page.evaluate(() => { location.hash = '#/programs'; }), '.page-programs .list tbody tr'));
  note('search in all sources', await after(page, () => page.fill('#search', 'sum ^= 0x2a;'), '.results [aria-label=Lines]'));
  await page.context().close();
}
await browser.close();
for (const [name, all] of samples) {
  all.sort((a, b) => a - b);
  console.log(`| ${name} | ${Math.round(all[2])} ms |`);
}
