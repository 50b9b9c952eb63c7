// Places that ran in some cells and not in others.

function rangesText(ranges) {
  return ranges.map(([a, b]) => (a === b ? a : `${a}–${b}`)).join(', ');
}

// gapList draws differences: where, and which cells did what.
function gapList(differences) {
  return h('ol', { class: 'gaps' }, differences.map((d) => {
    const f = report.files[d.file];
    const slash = f.name.lastIndexOf('/') + 1;
    const statuses = new Uint8Array(report.cells.length);
    const causes = [];
    for (const g of d.groups) {
      for (const [a, b] of g.cells) {
        statuses.fill(g.status, a, b + 1);
        for (let i = a; i <= b; i++) causes[i] = g.cause;
      }
    }
    const picture = strip(statuses);
    picture.setAttribute('tabindex', 0);
    explain(picture, (i) => ({ status: statuses[i], note: causes[i] || '' }));
    const what = d.kind === 'branch' ? `branch, ${d.side} side` : d.kind === 'function' ? 'whole function' : plural(d.lines, 'line');
    return h('li', { class: 'gap' },
      h('div', { class: 'gap-place' }, h('a', { href: fileAddress(f.name, { line: d.ranges[0][0] }), title: f.name },
        h('span', { class: 'dir' }, f.name.slice(0, slash)), h('span', { class: 'gap-file' }, f.name.slice(slash)), ':' + rangesText(d.ranges.slice(0, 4)) + (d.ranges.length > 4 ? ', …' : '')),
      h('div', { class: 'gap-what' }, d.function ? h('code', null, d.function) : null, h('span', { class: 'quiet' }, what))),
      picture,
      groupList(d.groups.map((g) => ({ status: g.status, cause: g.cause, cells: g.cells.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, k) => a + k)) }))));
  }));
}

page('gaps', {
  title: 'Differences', nav: 'gaps',
  show(root, route) {
    const list = h('div');
    const count = h('span', { class: 'quiet' });
    const draw = (status, cell, n) => {
      const all = report.differences.filter((d) => d.groups.some((g) => (status < 0 ? cell < 0 || g.status !== HIT : g.status === status) &&
        (cell < 0 || g.cells.some(([a, b]) => a <= cell && cell <= b))));
      replace(list, all.length ? gapList(all.slice(0, n)) : h('p', { class: 'notice' }, 'Nothing is like this.'),
        all.length > n ? h('button', { type: 'button', on: { click: () => draw(status, cell, n + 200) } }, `Show ${Math.min(200, all.length - n)} more`) : null);
      count.textContent = `${plural(all.length, 'place')}` + (report.allDifferences > report.differences.length ? `, of the ${report.differences.length} most telling; there are ${formatCount(report.allDifferences)}, and the source view's “differs” shows all of one file` : '');
    };
    const status = h('select', { id: 'why', on: { change: () => visit(address('gaps', '', { why: status.value, cell: cell.value })) } }, h('option', { value: '' }, 'any reason'),
      LEGEND.filter((x) => x !== HIT && x !== NOT_RUN).map((x) => h('option', { value: STATUSES[x].word }, STATUSES[x].word)));
    const cell = cellSelect('where', route.params.get('cell') || '', () => visit(address('gaps', '', { why: status.value, cell: cell.value })));
    status.value = route.params.get('why') || '';
    replace(root, h('div', { class: 'section-head' }, h('h1', null, 'Ran on some kernels and not on others'), legend()),
      h('div', { class: 'toolbar' }, h('label', { for: 'why' }, h('span', null, 'Not hit, because'), status), h('label', { for: 'where' }, h('span', null, 'On'), cell), count), list);
    this.draw = (r) => {
      status.value = r.params.get('why') || '';
      cell.value = r.params.get('cell') || '';
      draw(STATUSES.findIndex((x) => x.word === status.value), cellIndex(cell.value), 200);
    };
    this.draw(route);
  },
  update(route) {
    this.draw(route);
  },
});
