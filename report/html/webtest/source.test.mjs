// The source view: strips, filters, branches, keys, addresses.
import { test, equal, ok, facts } from './harness.mjs';

const main = facts.files.find((f) => f.name === 'probe.bpf.c');
const open = (site, query = '') => site.open('#/file/probe.bpf.c' + query).then(() => site.page.waitForSelector('.viewport .row'));
const tall = { viewport: { width: 1280, height: 2600 } }; // all lines are drawn
const isMissing = (s) => ['missed', 'rejected', 'not-loaded'].includes(s);
const index = (name) => facts.cells.findIndex((c) => c.name === name);

// near has the numbers that a filter shows: those wanted, and two lines around each; a hidden stretch of one or two lines is shown.
function near(wanted) {
  const shown = new Set();
  for (const n of wanted) for (let k = n - 2; k <= n + 2; k++) if (k >= 1 && k <= main.last) shown.add(k);
  for (let n = 1; n <= main.last; n++) {
    if (shown.has(n)) continue;
    let end = n;
    while (end < main.last && !shown.has(end + 1)) end++;
    if (end - n < 2) for (let k = n; k <= end; k++) shown.add(k);
    n = end;
  }
  return [...shown].sort((a, b) => a - b);
}

test('source: the strip of every line says what the model says', { context: tall }, async (site, page) => {
  await open(site, '?branches=none');
  equal(await site.lines(), Array.from({ length: main.last }, (_, i) => i + 1), 'lines');
  const text = await page.locator('.viewport').innerText();
  ok(text.includes('handle_exec_fentry'), 'the text of the source');
  let strips = 0;
  for (const line of main.lines) {
    const strip = site.row(line.number).locator('.strip');
    const tally = {};
    for (const s of line.statuses) tally[s] = (tally[s] || 0) + 1;
    const label = await strip.getAttribute('aria-label');
    for (const [word, n] of Object.entries(tally)) ok(label.includes(`${word} on ${n}`), `line ${line.number}: "${label}", want ${word} on ${n}`);
    strips++;
  }
  equal(await site.count('.row.line .strip'), strips, 'strips');
});

test('source: a mark says kernel, status, count and reason', { context: tall }, async (site) => {
  await open(site, '?branches=none');
  for (const word of ['hit', 'missed', 'eliminated', 'rejected', 'not-loaded', 'not-built', 'not-run']) {
    const line = main.lines.find((l) => l.statuses.includes(word));
    if (!line) throw new Error('the fixture has no line that is ' + word);
    const cell = line.statuses.indexOf(word);
    const tip = await site.hover(site.row(line.number).locator('.strip'), cell, facts.strip);
    const c = facts.cells[cell];
    ok(tip.includes(c.name) && tip.includes(c.kernel) && tip.includes(word), `line ${line.number} on ${c.name}: "${tip}", want ${word}`);
    if (word === 'hit') ok(tip.includes(`${line.counts[cell].toLocaleString('en-US')}×`), `"${tip}" has the count ${line.counts[cell]}`);
    if (line.reasons[cell]) ok(tip.includes(line.reasons[cell]), `"${tip}" has the reason ${line.reasons[cell]}`);
  }
});

test('source: a line in words', { context: tall }, async (site, page) => {
  await open(site);
  const line = main.lines.find((l) => l.statuses.includes('rejected'));
  await site.row(line.number).locator('.cell-tx').click();
  await page.waitForSelector('.detail');
  equal(await site.text('.detail h2'), `Line ${line.number}`, 'heading');
  equal((await site.texts('.detail-cells tbody .badge')), line.statuses, 'statuses');
  ok((await site.text('.detail .groups')).includes('unknown func bpf_loop#181'), 'the reason');
  ok((await site.hash()).includes(`line=${line.number}`), 'the address has the line');
  await page.reload();
  await page.waitForSelector('.detail');
  equal(await site.text('.detail h2'), `Line ${line.number}`, 'after a reload');
  equal(await site.row(line.number).getAttribute('aria-selected'), 'true', 'selected');
  await page.keyboard.press('Escape');
  equal(await site.count('.detail'), 0, 'closed');
});

for (const [filter, wants] of [
  ['missing', (s, c) => ['missed', 'rejected', 'not-loaded'].includes(s[c])],
  ['eliminated', (s, c) => s[c] === 'eliminated'],
  ['only', (s, c) => s[c] === 'hit' && s.every((x, i) => i === c || x !== 'hit')],
  ['differs', (s) => s.includes('hit') && s.some((x) => x !== 'hit' && x !== 'not-run')],
]) {
  test(`source: filter "${filter}"`, { context: tall }, async (site, page) => {
    await open(site, '?branches=none');
    let found = 0;
    for (const [c, cell] of facts.cells.entries()) {
      await page.selectOption('#cell', cell.name);
      await page.selectOption('#show', filter);
      const sides = (n) => (filter === 'differs' ? [] : main.branches.filter((b) => b.line === n).flatMap((b) => [b.yes, b.no]));
      const wanted = main.lines.filter((l) => [l.statuses, ...sides(l.number)].some((s) => wants(s, c))).map((l) => l.number);
      equal(await site.lines(), near(wanted), `lines for ${cell.name}`);
      found += wanted.length;
    }
    ok(found > 0, 'the fixture has a line for this filter');
    ok((await site.hash()).includes('show=' + filter), 'the address has the filter');
    const fold = page.locator('.unfold').first();
    if (await fold.count()) {
      const before = (await site.lines()).length;
      await fold.click();
      ok((await site.lines()).length > before, 'a fold opens');
    }
  });
}

test('source: the keyboard goes from gap to gap, and on to the next file', async (site, page) => {
  const missing = (c) => main.lines.filter((l) => isMissing(l.statuses[c])).map((l) => l.number);
  const c = facts.cells.findIndex((_, i) => missing(i).some((n, k, all) => k > 0 && n > all[k - 1] + 5));
  const wanted = missing(c);
  await open(site, `?show=missing&cell=${facts.cells[c].name}`);
  await page.keyboard.press('n');
  equal(await site.text('.detail h2'), `Line ${wanted[0]}`, 'first gap');
  const total = Number(/of (\d+)/.exec(await site.text('.gap-at'))[1]);
  ok(total > 1, `${total} gaps`);
  for (let i = 1; i < total; i++) await page.keyboard.press('n');
  ok((await site.text('.gap-at')).startsWith(`${total} of`), 'last gap');
  const last = await site.text('.detail h2');
  await page.keyboard.press('p');
  await page.keyboard.press('n');
  equal(await site.text('.detail h2'), last, 'back and forth');
  await page.keyboard.press('n');
  await page.waitForFunction(() => !location.hash.includes('probe.bpf.c') || document.querySelector('#live').textContent === 'No other gap.');
  await page.keyboard.press('[');
});

test('source: arrows go from line to line', async (site, page) => {
  await open(site);
  await page.locator('.viewport').focus();
  await page.keyboard.press('ArrowDown');
  equal(await site.text('.detail h2'), 'Line 1', 'down');
  await page.keyboard.press('End');
  equal(await site.text('.detail h2'), `Line ${main.last}`, 'end');
  await page.keyboard.press('ArrowUp');
  equal(await site.text('.detail h2'), `Line ${main.last - 1}`, 'up');
  const active = await page.locator('.viewport').getAttribute('aria-activedescendant');
  equal(await page.locator('#' + active).getAttribute('aria-selected'), 'true', 'the active row is the selected one');
});

test('source: branches in place', { context: tall }, async (site, page) => {
  await open(site, '?branches=all');
  equal(await site.count('.row.branch'), 2 * main.branches.length, 'sides');
  const b = main.branches.find((x) => x.yes.includes('eliminated') || x.no.includes('missed'));
  const side = b.yes.includes('eliminated') ? b.yes : b.no;
  const cell = side.findIndex((s) => s === 'eliminated' || s === 'missed');
  const rows = page.locator('.row.branch');
  const at = main.branches.indexOf(b) * 2 + (side === b.yes ? 0 : 1);
  ok((await rows.nth(at).innerText()).includes(side === b.yes ? 'true' : 'false'), 'the side in words');
  const tip = await site.hover(rows.nth(at).locator('.strip'), cell, facts.strip);
  ok(tip.includes(side[cell]), `"${tip}" says ${side[cell]}`);
  await page.keyboard.press('b');
  equal(await site.count('.row.branch'), 0, 'none');
  await page.keyboard.press('b');
  await rows.first().waitFor();
  const gaps = await site.count('.row.branch');
  ok(gaps > 0 && gaps < 2 * main.branches.length, `${gaps} sides have gaps`);
});

test('source: as one kernel saw it', { context: tall }, async (site, page) => {
  await open(site, '?branches=none');
  const c = index(facts.cells.find((x) => x.ran).name);
  await page.selectOption('#cell', facts.cells[c].name);
  for (const l of main.lines) {
    const want = l.statuses[c] === 'hit' ? String(l.counts[c]) : ['missed', 'rejected', 'not-loaded'].includes(l.statuses[c]) ? '0' : '';
    equal(await site.row(l.number).locator('.cell-ct').textContent(), want, `count of line ${l.number}`);
  }
});

test('source: the tree leads to other files', async (site, page) => {
  await open(site);
  equal(await site.count('.tree-file'), facts.files.length, 'files');
  await page.locator('.tree-file', { hasText: 'helper.h' }).click();
  await page.waitForFunction(() => document.querySelector('.sheet-head h1').textContent.includes('helper.h'));
  await page.keyboard.press(']');
  await page.waitForFunction(() => !document.querySelector('.sheet-head h1').textContent.includes('helper.h'));
});

test('source: without its text', { site: 'bare' }, async (site) => {
  await open(site);
  ok((await site.text('.notice')).includes('No source folder was given'), 'it says why');
  ok((await site.count('.row.line .strip')) > 0, 'strips are there');
});
