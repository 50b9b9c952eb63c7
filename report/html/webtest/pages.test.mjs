// Every page: what it shows, and where its links lead.
import { test, equal, ok, facts } from './harness.mjs';

test('matrix: a row for each cell, figures of the model', async (site, page) => {
  await site.open();
  equal(await site.texts('.matrix tbody .cell-name'), facts.cells.map((c) => `${c.version} ${c.arch}`), 'rows');
  equal(await site.texts('.big-fig'), facts.merged, 'figures');
  for (const [i, c] of facts.cells.entries()) {
    const row = page.locator('.matrix tbody tr').nth(i);
    ok((await row.innerText()).includes(c.outcome), `row ${i} says ${c.outcome}`);
    if (c.ran) equal(await row.locator('.pct').allInnerTexts(), c.figures, c.name);
    else equal(await row.locator('.pct').count(), 0, c.name + ', which did not run');
  }
  equal(await site.count('.matrix tbody tr:first-child .spark'), facts.files.length, 'sparks of the first row');
});

test('matrix: a tile leads to what is missing there', async (site, page) => {
  await site.open();
  const file = facts.files.findIndex((f) => f.cells[1] !== '100%');
  await page.locator('.matrix tbody tr').nth(1).locator('.tile a').nth(file).click();
  await site.ready();
  await page.waitForSelector('.viewport');
  equal(await site.hash(), `#/file/${facts.files[file].name}?show=missing&cell=${facts.cells[1].name}`, 'address');
  equal(await page.locator('#show').inputValue(), 'missing', 'filter');
});

test('matrix: the first differences, with their causes', async (site) => {
  await site.open();
  equal(await site.count('main .gap'), Math.min(8, facts.differences), 'differences');
  const causes = (await site.texts('.group-cause')).join('\n');
  for (const word of ['ran', 'eliminated by the verifier', 'not loaded']) ok(causes.includes(word), `no cause says "${word}" in ${causes}`);
});

test('differences: filter by status and kernel', async (site, page) => {
  await site.open('#/gaps');
  equal(await site.count('main .gap'), facts.differences, 'all');
  await page.selectOption('#why', 'rejected');
  const n = await site.count('main .gap');
  ok(n > 0 && n < facts.differences, `${n} differences are for a rejected program`);
  for (const t of await site.texts('main .gap .groups')) ok(t.includes('rejected'), `"${t}" is about a rejection`);
  ok((await site.hash()).includes('why=rejected'), 'the address says it');
  await page.goBack();
  equal(await site.count('main .gap'), facts.differences, 'all again');
  await page.locator('main .gap a').first().click();
  await page.waitForSelector('.detail');
});

test('functions: filter, and a strip by keyboard', async (site, page) => {
  await site.open('#/functions');
  await page.waitForSelector('.list tbody tr');
  equal(await site.count('.list tbody tr'), facts.functions.length, 'rows');
  await page.fill('#fn', 'handle_exit');
  equal(await site.count('.list tbody tr'), facts.functions.filter((f) => f.name.includes('handle_exit')).length, 'found');
  const f = facts.functions.find((x) => x.name === 'handle_exit');
  const strip = page.locator('.list tbody .strip').first();
  await strip.focus();
  for (const c of facts.cells.keys()) {
    await page.keyboard.press('ArrowRight');
    const tip = await site.text('#tip');
    ok(tip.includes(facts.cells[c].name) && tip.includes(f.statuses[c]), `tip of cell ${c} says "${tip}", want ${f.statuses[c]}`);
    ok((await page.locator('#live').textContent()).includes(f.statuses[c]), 'a screen reader hears it');
  }
  await page.fill('#fn', '');
  await page.selectOption('#fn-status', 'rejected');
  equal(await site.count('.list tbody tr'), facts.functions.filter((x) => x.statuses.includes('rejected')).length, 'rejected somewhere');
});

test('programs: statistics, the reason and the log of a refused one', async (site, page) => {
  await site.open('#/programs');
  await page.waitForSelector('.list tbody tr');
  ok((await site.text('.list tbody')).includes('EINVAL'), 'the errno is in the table');
  await page.check('#refused');
  equal(await site.count('.list tbody tr'), 1, 'refused programs');
  await page.locator('.expand').first().click();
  const text = await site.text('.program-detail');
  for (const want of ['unknown func bpf_loop#181', 'processed 12 insns', 'refused', '120', '300']) ok(text.includes(want), `the details have no "${want}": ${text}`);
  equal(await page.locator('.expand').first().getAttribute('aria-expanded'), 'true', 'aria-expanded');
  await page.reload();
  await page.waitForSelector('.program-detail');
  await page.selectOption('#cost', 'insns');
  ok((await site.hash()).includes('cost=insns'), 'the address has the figure');
});

test('tests: cases by kernel, a failure, a console', async (site, page) => {
  await site.open('#/tests');
  await page.waitForSelector('.list tbody tr');
  ok((await site.text('.message')).includes('no event within 5s'), 'the message of the failure');
  await page.selectOption('#only', 'failed');
  equal(await page.locator('.list').first().locator('th[scope=row]').allInnerTexts(), ['TestExec'], 'failed cases');
  const tip = await site.hover(page.locator('.list').first().locator('.strip').first(), facts.cells.findIndex((c) => c.outcome === 'failed'), facts.strip);
  ok(tip.includes('failed') && tip.includes('no event within'), `tip "${tip}"`);
  await page.locator('.list').last().locator('summary').first().click();
  const text = await page.locator('.list').last().innerText();
  ok(text.includes('Unable to mount root fs') && !text.includes('\u001b'), 'the console of the kernel that did not boot');
});

test('search: files, functions, lines', async (site, page) => {
  await site.open();
  await page.keyboard.press('/');
  await page.keyboard.type('handle_exit');
  await page.waitForSelector('.results [aria-label=Lines]');
  equal(await site.count('.results [aria-label=Functions] .result'), 1, 'functions');
  await page.keyboard.press('ArrowDown');
  equal(await page.locator('.result[aria-selected=true]').count(), 1, 'chosen by keyboard');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.detail');
  const f = facts.functions.find((x) => x.name === 'handle_exit');
  ok((await site.hash()).endsWith(`?line=${f.line}`), `address ${await site.hash()}, want line ${f.line}`);
  await page.keyboard.press('/');
  await page.fill('#search', 'no such text at all');
  await page.waitForFunction(() => document.querySelector('.results').textContent === 'Nothing found');
  await page.keyboard.press('Escape');
  ok(await page.locator('.results').isHidden(), 'closed');
});

test('theme: from the system, by key, kept', { context: { colorScheme: 'dark' } }, async (site, page) => {
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await site.open();
  const dark = await background();
  await page.keyboard.press('t');
  const light = await background();
  ok(dark !== light && light === 'rgb(255, 255, 255)', `dark ${dark}, light ${light}`);
  await page.reload();
  await site.ready();
  equal(await background(), light, 'after a reload');
});

test('keys: pages and help', async (site, page) => {
  await site.open();
  for (const [i, name] of ['matrix', 'file', 'gaps', 'functions', 'programs', 'tests'].entries()) {
    await page.keyboard.press(String(i + 1));
    await page.waitForFunction((n) => document.querySelector('main').className === 'page-' + n, name);
    equal(await page.locator('.nav a[aria-current=page]').getAttribute('data-page'), name, 'current page');
  }
  await page.keyboard.press('?');
  ok((await site.text('dialog')).includes('next gap'), 'the list of keys');
  await site.accessible('the list of keys');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { state: 'detached' });
});

test('an address that leads nowhere', async (site, page) => {
  await site.open('#/file/none.c');
  ok((await site.text('main')).includes('There is no file none.c'), 'it says so');
  await site.open('#/nothing');
  equal(await site.count('.matrix'), 1, 'an unknown page is the first one');
  await site.open('#/file/%E0%A4%A');
  await page.waitForSelector('.viewport, .error');
});
