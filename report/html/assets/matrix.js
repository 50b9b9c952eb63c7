// The first page: figures, the matrix of kernels and files, and where kernels differ.

const OUTCOMES = { passed: ['✓', 'ok'], failed: ['✕', 'bad'], timeout: ['⧗', 'bad'], panic: ['✕', 'bad'], lost: ['?', 'bad'], 'boot-failed': ['⏻', 'bad'], skipped: ['–', 'quiet'] };

// outcome is how a run ended, as a sign and a word.
function outcome(o, text) {
  const [sign, cls] = OUTCOMES[o] || ['?', 'quiet'];
  return h('span', { class: 'outcome ' + cls }, h('span', { 'aria-hidden': 'true', class: 'sign' }, sign), text || o);
}

// spark shows where the gaps of a file are in a cell: one column for each part of the file.
function spark(code, width = 72) {
  const n = code.length || 1;
  const w = width / n;
  const parts = new Map();
  for (let i = 0; i < code.length; i++) {
    const status = Number(code[i]);
    const [y, height] = status === HIT ? [9, 3] : status === ELIMINATED ? [5, 2] : status === NOT_BUILT || status === NOT_RUN ? [11, 1] : status === NOT_LOADED ? [4, 8] : [0, 12];
    parts.set(status, (parts.get(status) || '') + `M${(i * w).toFixed(2)} ${y}h${Math.max(1, w - (w > 2.5 ? 1 : 0)).toFixed(2)}v${height}h${-Math.max(1, w - (w > 2.5 ? 1 : 0)).toFixed(2)}z`);
  }
  return s('svg', { class: 'spark', width, height: 12, viewBox: `0 0 ${width} 12`, 'aria-hidden': 'true' }, [...parts].map(([status, d]) => s('path', { class: 's' + status, d })));
}

// tile is a cell's share of one file.
function tile(f, i) {
  const hit = f.cells[2 * i], total = f.cells[2 * i + 1], c = report.cells[i];
  if (!c.ran) return h('td', { class: 'tile none' }, h('span', { class: 'quiet' }, 'not run'));
  const tip = `${f.name} on ${c.name}: ${hit} of ${plural(total, 'line')} ran`;
  return h('td', { class: 'tile' }, h('a', { href: fileAddress(f.name, { cell: c.name, show: hit < total ? 'missing' : '' }), 'data-tip': tip },
    h('span', { class: 'tile-fig' }, percent(hit, total)), spark(report.sparks[f.spark[i]])));
}

// smallTiles are the shares of all files of a cell in one picture, for reports of many files.
function smallTiles(i) {
  const c = report.cells[i], w = 9, size = 16;
  const svg = s('svg', { class: 'tiles', width: report.files.length * w, height: size, role: 'img', 'aria-label': `Files of ${c.name}` });
  if (!c.ran) return svg;
  const d = { full: '', hit: '', gap: '' };
  report.files.forEach((f, k) => {
    const hit = f.cells[2 * i], total = f.cells[2 * i + 1];
    if (!total) return;
    const filled = hit >= total ? size : Math.min(size - 2, Math.max(hit > 0 ? 1 : 0, Math.round((size * hit) / total)));
    if (filled === size) d.full += `M${k * w} 0h${w - 1}v${size}h${1 - w}z`;
    else {
      d.hit += `M${k * w} ${size - filled}h${w - 1}v${filled}h${1 - w}z`;
      d.gap += `M${k * w} 0h${w - 1}v${size - filled - 1}h${1 - w}z`;
    }
  });
  svg.append(s('path', { class: 'tiles-gap', d: d.gap }), s('path', { class: 's7', d: d.hit }), s('path', { class: 's7', d: d.full }));
  svg.addEventListener('pointermove', (event) => {
    const k = Math.floor((event.clientX - svg.getBoundingClientRect().left) / w);
    const f = report.files[k];
    if (!f) return;
    event.stopPropagation();
    showTip([h('div', { class: 'tip-cell' }, baseName(f.name)), h('div', null, `${c.name}: ${percent(f.cells[2 * i], f.cells[2 * i + 1])} of ${plural(f.cells[2 * i + 1], 'line')}`)], event.clientX, event.clientY);
  });
  svg.addEventListener('click', (event) => {
    const f = report.files[Math.floor((event.clientX - svg.getBoundingClientRect().left) / w)];
    if (f) visit(fileAddress(f.name, { cell: c.name, show: 'missing' }));
  });
  return svg;
}

// bigFigure is one of the three figures at the top.
function bigFigure(word, [hit, total]) {
  return h('div', { class: 'big' }, h('span', { class: 'big-fig num' }, percent(hit, total)), h('span', { class: 'big-word' }, word), meter(hit, total),
    h('span', { class: 'quiet num' }, `${formatCount(hit)} of ${formatCount(total)}`));
}

function summaryRow() {
  const tests = [0, 0, 0];
  let cells = 0, boots = 0, refused = 0;
  for (const c of report.cells) {
    c.tests.forEach((n, i) => (tests[i] += n));
    refused += c.programs[1];
    if (c.ran) cells++;
    if (c.outcome === 'boot-failed') boots++;
  }
  const arches = new Set(report.cells.map((c) => c.arch)).size;
  const fact = (value, word, href, bad) => h(href ? 'a' : 'div', { class: 'fact' + (bad ? ' bad' : ''), href }, h('span', { class: 'fact-fig num' }, formatCount(value)), h('span', null, word));
  return h('div', { class: 'summary' }, bigFigure('lines', report.merged.lines), bigFigure('branches', report.merged.branches), bigFigure('functions', report.merged.functions),
    h('div', { class: 'facts' },
      fact(cells, `of ${plural(report.cells.length, 'cell')} ran`), fact(arches, arches === 1 ? 'architecture' : 'architectures'),
      fact(tests[0], 'tests passed', '#/tests'), fact(tests[1], 'failed', '#/tests', tests[1] > 0), fact(tests[2], 'skipped', '#/tests'),
      fact(refused, refused === 1 ? 'program refused' : 'programs refused', '#/programs', refused > 0),
      boots ? fact(boots, 'did not boot', '#/tests', true) : null,
      fact(report.allDifferences, 'differences', '#/gaps')));
}

function matrixTable() {
  const wide = report.files.length <= 12;
  const tests = (c) => h('td', { class: 'num' }, c.outcome === 'boot-failed' ? '' : [String(c.tests[0]), c.tests[1] ? h('span', { class: 'bad' }, ` ${c.tests[1]} failed`) : null,
    c.tests[2] ? h('span', { class: 'quiet' }, ` ${c.tests[2]} skipped`) : null]);
  const col = (text, cls, tip) => h('th', { scope: 'col', class: cls, title: tip }, text);
  const head = h('tr', null, col('Kernel'), col('Result'), col('Tests', 'num'), col('Lines', 'num'), col('Branches', 'num'), col('Functions', 'num'), col('By status', 'col-bar', 'Lines by status'),
    wide ? report.files.map((f) => h('th', { scope: 'col', class: 'col-file', title: f.name }, h('a', { href: fileAddress(f.name) }, baseName(f.name)), f.language ? h('span', { class: 'arch' }, 'user space') : null)) : h('th', { scope: 'col' }, plural(report.files.length, 'file')));
  const merged = h('tr', { class: 'merged' }, h('th', { scope: 'row' }, 'all kernels'), h('td'), h('td'), ['lines', 'branches', 'functions'].map((k) =>
    h('td', { class: 'num' }, h('span', { class: 'pct' }, percent(...report.merged[k])))), h('td'),
    wide ? report.files.map((f) => h('td', { class: 'tile' }, h('a', { href: fileAddress(f.name) }, h('span', { class: 'tile-fig' }, percent(...f.merged.lines)), meter(...f.merged.lines)))) : h('td'));
  const rows = report.cells.map((c, i) => h('tr', { class: c.ran ? null : 'not-run' },
    h('th', { scope: 'row' }, h('span', { class: 'cell-name' }, c.version, ' ', h('span', { class: 'arch' }, c.arch)), h('span', { class: 'release' }, c.kernel + (c.llvm ? ` · LLVM ${c.llvm}` : ''))),
    h('td', null, outcome(c.outcome), c.failure ? h('div', { class: 'failure', title: c.failure }, c.failure) : null),
    tests(c),
    ['lines', 'branches', 'functions'].map((k) => h('td', { class: 'num' }, c.ran ? [h('span', { class: 'pct' }, percent(...c.summary[k])), h('span', { class: 'of' }, `${c.summary[k][0]}/${c.summary[k][1]}`)] : '')),
    h('td', { class: 'col-bar' }, c.ran ? bar(c.lines) : null),
    wide ? report.files.map((f) => tile(f, i)) : h('td', null, smallTiles(i))));
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Kernels by files' }, h('table', { class: report.cells.length > 24 ? 'matrix dense' : 'matrix' }, h('thead', null, head), h('tbody', null, rows, report.cells.length > 1 ? merged : null)));
}

// legend explains the marks.
function legend() {
  const there = new Set();
  for (const c of report.cells) c.lines.forEach((n, i) => n && there.add(i));
  return h('ul', { class: 'legend', 'aria-label': 'Statuses' }, LEGEND.filter((x) => there.has(x)).map((x) => h('li', { 'data-tip': STATUSES[x].text }, badge(x))));
}

page('matrix', {
  title: 'Matrix', nav: 'matrix',
  show(root) {
    replace(root, summaryRow(), h('section', null, h('div', { class: 'section-head' }, h('h1', null, 'Kernels and files'), legend()), matrixTable()),
      report.allDifferences ? h('section', null, h('div', { class: 'section-head' }, h('h2', null, 'Ran on some kernels and not on others'),
        report.allDifferences > 8 ? h('a', { href: '#/gaps' }, `all ${formatCount(report.allDifferences)} places`) : null), gapList(report.differences.slice(0, 8))) : null,
      report.warnings.length ? h('section', null, h('h2', null, 'Notes'), h('ul', { class: 'notes' }, report.warnings.slice(0, 50).map((w) => h('li', null, w)))) : null);
  },
});
