// What the tests share: a browser, a page that watches itself, and checks.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.WEBTEST_MODULES + '/');
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const facts = JSON.parse(readFileSync(process.env.WEBTEST_FACTS, 'utf8'));

const tests = [];
export function test(name, options, body) {
  if (!body) [options, body] = [{}, options];
  tests.push({ name, options, body });
}

export function equal(got, want, what) {
  if (!isDeepStrictEqual(got, want)) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

export function ok(condition, what) {
  if (!condition) throw new Error(what);
}

// Site is a page of a browser that shows one site.
export class Site {
  constructor(page, dir, problems) {
    Object.assign(this, { page, dir, problems });
  }

  // open shows an address, from a fresh start.
  async open(hash = '') {
    await this.page.goto('about:blank');
    await this.page.goto(pathToFileURL(this.dir + '/index.html') + hash);
    await this.ready();
  }

  // ready waits until the page has nothing more to load.
  async ready() {
    await this.page.waitForFunction(() => document.querySelector('main h1, main .error'));
  }

  // settle waits for what the last key or click has set off: a page is drawn at the event hashchange, which comes later than the key.
  settle() {
    return this.page.evaluate(() => new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))));
  }

  async text(selector) {
    await this.settle();
    return this.page.locator(selector).first().innerText();
  }

  async texts(selector) {
    await this.settle();
    return this.page.locator(selector).allInnerTexts();
  }

  async count(selector) {
    await this.settle();
    return this.page.locator(selector).count();
  }

  async hash() {
    await this.settle();
    return this.page.evaluate(() => decodeURIComponent(location.hash));
  }

  // lines are the numbers of the lines that are drawn.
  async lines() {
    await this.settle();
    return (await this.page.$$eval('.row.line .cell-ln', (nodes) => nodes.map((n) => Number(n.textContent)))).sort((a, b) => a - b);
  }

  row(line) {
    return this.page.locator('.row.line', { has: this.page.locator(`.cell-ln:text-is("${line}")`) });
  }

  // hover points at the mark of a cell in a strip and returns what the tip says.
  async hover(strip, cell, cells = facts.cells.length) {
    await strip.scrollIntoViewIfNeeded();
    const box = await strip.boundingBox();
    await this.page.mouse.move(box.x + (box.width * (cell + 0.4)) / cells, box.y + box.height / 2);
    return this.text('#tip');
  }

  // accessible fails when axe finds something.
  async accessible(what) {
    await this.page.mouse.move(0, 0);
    if (!(await this.page.evaluate(() => Boolean(window.axe)))) await this.page.evaluate(axe);
    const { violations } = await this.page.evaluate(() => window.axe.run(document, { preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    if (violations.length) {
      throw new Error(`${what}: ` + violations.map((v) => `${v.id} (${v.nodes.length}): ${v.nodes.slice(0, 2).map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary).join(' | ')}`).join('; '));
    }
  }
}

// attempt runs a test in a page of its own and returns what went wrong, or ''.
async function attempt(browser, { options, body }) {
  let error = '';
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', ...options.context, offline: true });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(20000);
    const problems = [];
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && problems.push(m.text()));
    page.on('pageerror', (e) => problems.push(String(e.stack)));
    page.on('dialog', (d) => {
      problems.push('a dialog: ' + d.message());
      d.dismiss();
    });
    const site = new Site(page, facts.sites[options.site || 'small'], problems);
    page.on('request', (r) => {
      if (!r.url().startsWith(pathToFileURL(site.dir).href) && r.url() !== 'about:blank') problems.push('asks for ' + r.url());
    });
    await body(site, page);
    if (problems.length) throw new Error('the browser complains: ' + problems.join('; '));
  } catch (e) {
    error = String(e.stack || e);
  }
  await context.close();
  return error;
}

// run runs all tests and prints one line of JSON for each.
export async function run() {
  // Nobody but the tests' own files comes into this browser; as root there is no sandbox.
  const browser = await chromium.launch({ executablePath: process.env.WEBTEST_CHROMIUM, args: ['--disable-dev-shm-usage', ...(process.getuid() === 0 ? ['--no-sandbox'] : [])] }); // containers have a small /dev/shm
  for (const test of tests) {
    const started = Date.now();
    const error = await attempt(browser, test);
    console.log(JSON.stringify({ name: test.name, error, ms: Date.now() - started }));
  }
  await browser.close();
}
