// Every function, with a strip over the kernels.

const SHOWN = 300; // rows of a table that are drawn at once

// more draws the first rows of a long table, and a button for the rest.
function more(body, foot, rows, draw, n = SHOWN) {
  replace(body, rows.slice(0, n).map(draw));
  replace(foot, rows.length > n ? h('button', { type: 'button', on: { click: () => more(body, foot, rows, draw, n + SHOWN) } },
    `Show ${Math.min(SHOWN, rows.length - n)} more of ${formatCount(rows.length)}`) : null);
}

// stripHead names the cells above a column of strips, where there is room.
function stripHead() {
  if (report.cells.length > 10) return h('span', null, plural(report.cells.length, 'kernel'));
  return h('span', { class: 'head-cells' }, report.cells.map((c) => h('span', { class: 'col-name' }, h('span', null, `${c.version} ${c.arch}`))));
}

page('functions', {
  title: 'Functions', nav: 'functions',
  show(root, route) {
    replace(root, h('p', { class: 'notice' }, 'Loading the functions …'));
    load('functions').then((data) => {
      if (shown.name !== 'functions') return;
      const body = h('tbody'), foot = h('div', { class: 'more' }), count = h('span', { class: 'quiet' });
      const input = h('input', { id: 'fn', type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'name or file', on: { input: () => change() } });
      const cell = cellSelect('fn-cell', '', () => change());
      const status = h('select', { id: 'fn-status', on: { change: () => change() } }, h('option', { value: '' }, 'any status'),
        h('option', { value: 'differs' }, 'differs'), LEGEND.map((x) => h('option', { value: STATUSES[x].word }, STATUSES[x].word)));
      const change = () => {
        visit(address('functions', '', { q: input.value, cell: cell.value, status: status.value }), true);
        draw();
      };
      const draw = () => {
        const q = input.value.toLowerCase(), c = cellIndex(cell.value), want = STATUSES.findIndex((x) => x.word === status.value);
        const rows = data.rows.filter((r) => {
          if (q && !r.name.toLowerCase().includes(q) && !report.files[r.file].name.toLowerCase().includes(q)) return false;
          const states = statusesOf(data, r.vec);
          if (status.value === 'differs') return isDifferent(states);
          return want < 0 || (c < 0 ? states.includes(want) : states[c] === want);
        });
        count.textContent = plural(rows.length, 'function');
        more(body, foot, rows, (r) => {
          const picture = stripOf(data, r.vec, r.counts);
          picture.setAttribute('tabindex', 0);
          const states = statusesOf(data, r.vec);
          const state = c < 0 ? null : stateAt(data, r.vec, r.counts, c);
          return h('tr', null,
            h('th', { scope: 'row' }, h('a', { href: fileAddress(report.files[r.file].name, { line: r.line, cell: cell.value }) }, h('code', null, r.name)),
              r.program ? h('span', { class: 'tag', 'data-tip': 'BPF program, section ' + r.program }, r.program) : null),
            h('td', null, picture),
            h('td', { class: 'num' }, c < 0 ? (states.includes(HIT) ? shortCount(sumOf(data, r.counts)) : '0') : state.status === HIT ? shortCount(state.count) : badge(state.status)),
            h('td', { class: 'num' }, `${states.filter((x) => x === HIT).length}/${states.filter((x) => counted(x)).length}`),
            h('td', { class: 'quiet file-col' }, `${report.files[r.file].name}:${r.line}`));
        });
      };
      replace(root, h('div', { class: 'section-head' }, h('h1', null, 'Functions by kernel'), legend()),
        h('div', { class: 'toolbar' }, h('label', { for: 'fn' }, h('span', null, 'Find'), input), h('label', { for: 'fn-status' }, h('span', null, 'Status'), status),
          h('label', { for: 'fn-cell' }, h('span', null, 'On'), cell), count),
        h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Functions' }, h('table', { class: 'list' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Function'),
          h('th', { scope: 'col' }, stripHead()), h('th', { scope: 'col', class: 'num' }, 'Calls'), h('th', { scope: 'col', class: 'num', title: 'Kernels that ran it, of those that could' }, 'Kernels'),
          h('th', { scope: 'col' }, 'Where'))), body)), foot);
      input.value = route.params.get('q') || '';
      cell.value = route.params.get('cell') || '';
      status.value = route.params.get('status') || '';
      draw();
    }).catch((error) => failed(root, error));
  },
});
