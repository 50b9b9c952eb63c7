// Phones, accessibility, hostile names, many kernels.
import { test, equal, ok, facts } from './harness.mjs';

const addresses = ['#/', '#/file/probe.bpf.c?line=20', '#/gaps', '#/functions', '#/programs', '#/tests'];

for (const [name, context] of [['light', {}], ['dark', { colorScheme: 'dark' }], ['phone', { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true }]]) {
  test(`accessible: every page, ${name}`, { context }, async (site, page) => {
    for (const a of addresses) {
      await site.open(a);
      await page.waitForSelector('.spark, .strip');
      await site.accessible(a);
    }
  });
}

test('accessible: many kernels', { site: 'many' }, async (site, page) => {
  for (const a of ['#/file/probe.bpf.c?line=20', '#/functions']) {
    await site.open(a);
    await page.waitForSelector('.strip');
    await site.accessible(a);
  }
});

test('phone: nothing is wider than the screen, a tap on a mark says what it is', { context: { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true } }, async (site, page) => {
  for (const a of addresses) {
    await site.open(a);
    await page.waitForSelector('.spark, .strip');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    ok(wide <= 390, `${a} is ${wide} wide`);
  }
  await site.open('#/file/probe.bpf.c');
  const box = await page.locator('.row.code .strip').first().boundingBox();
  await page.touchscreen.tap(box.x + 4, box.y + box.height / 2);
  ok((await site.text('#tip')).includes(facts.cells[0].name), 'the tip names the first cell');
  equal(await site.count('.detail'), 0, 'the tap opens no panel');
  await site.open('#/file/probe.bpf.c?line=60');
  const row = await site.row(60).boundingBox(), panel = await page.locator('.detail').boundingBox();
  ok(row.y > 200 && row.y + row.height <= panel.y, `line 60 at ${row.y} is above its panel at ${panel.y}`);
});

test('hostile: text stays text', { site: 'hostile' }, async (site, page) => {
  const bad = facts.hostile;
  for (const a of ['#/', '#/file', '#/file/' + encodeURIComponent(bad) + '?line=1', '#/gaps', '#/functions', '#/programs', '#/tests', '#/file/' + encodeURIComponent('<img src=x onerror=alert(1)>')]) {
    await site.open(a);
    await page.waitForTimeout(150);
    ok((await page.content()).includes('&lt;img') || a === '#/file', `${a} shows the text`);
    equal(await page.locator('img, iframe, main script, object, embed').count(), 0, `elements of ${a}`);
    equal(await page.evaluate(() => window.pwned), undefined, a);
  }
  await site.open('#/programs');
  for (const b of await page.locator('.expand').all()) await b.click();
  await site.open('#/file/' + encodeURIComponent(bad));
  await page.waitForSelector('.row.code');
  await page.locator('.row.code .strip').first().hover();
  ok((await site.text('#tip')).includes('<img'), 'the tip shows the text');
  await page.locator('#search').fill('<img');
  await page.waitForSelector('.result');
  equal(await page.locator('img').count(), 0, 'in the results');
});

test('policy: the browser refuses markup and foreign scripts', async (site, page) => {
  await site.open();
  const refused = await page.evaluate(async () => {
    const out = {};
    try {
      document.body.innerHTML = '<img src=x>';
      out.markup = 'allowed';
    } catch (e) {
      out.markup = e.name;
    }
    try {
      document.createElement('script').src = 'data/../../x.js';
      out.script = 'allowed';
    } catch (e) {
      out.script = e.name;
    }
    // Only what runs later is not the driver's own code, which may do anything.
    await new Promise((done) => setTimeout(() => {
      try {
        new Function('1')();
        out.code = 'allowed';
      } catch (e) {
        out.code = e.name;
      }
      done();
    }));
    return out;
  });
  equal(refused, { markup: 'TypeError', script: 'TypeError', code: 'EvalError' }, 'what the policy says');
  site.problems.length = 0; // they are about what was just tried
});

test('many kernels: packed data, marks in rows, few nodes', { site: 'many' }, async (site, page) => {
  await site.open();
  equal(await site.count('.matrix tbody tr'), facts.many.cells.length + 1, 'rows');
  await site.open('#/file/probe.bpf.c?branches=all');
  await page.waitForSelector('.row');
  const drawn = await site.count('.row');
  ok(drawn < 120, `${drawn} rows are drawn`);
  await page.locator('.viewport').focus();
  await page.keyboard.press('End');
  ok((await site.lines()).includes(facts.files.find((f) => f.name === 'probe.bpf.c').last), 'the last line is drawn after End');
  const strip = page.locator('.row.code .strip').last();
  const box = await strip.boundingBox();
  const { cols, rows } = facts.many.grid;
  for (const cell of [0, 1, cols, facts.many.cells.length - 1]) {
    await page.mouse.move(box.x + (box.width * ((cell % cols) + 0.4)) / cols, box.y + (box.height * (Math.floor(cell / cols) + 0.3)) / rows);
    const tip = await site.text('#tip');
    ok(tip.startsWith(facts.many.cells[cell] + '\n'), `mark ${cell}: "${tip}", want ${facts.many.cells[cell]}`);
  }
  for (const a of ['#/functions', '#/programs', '#/tests', '#/gaps']) {
    await site.open(a);
    await page.waitForSelector('main .strip');
  }
});

test('a damaged copy says what is missing', { site: 'damaged' }, async (site, page) => {
  await site.open('#/functions');
  ok((await site.text('main')).includes('data/functions.js is missing'), 'which file');
  await site.open();
  equal(await site.count('.matrix'), 1, 'other pages work');
  site.problems.length = 0; // the browser says that the file is not there
});
