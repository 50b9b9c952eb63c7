// The source of one file, with a strip for each line.

let view = null; // of the file on screen

class SourceView {
  constructor(root, file, data, route) {
    this.root = root;
    this.file = file;
    this.data = unpack(data);
    this.open = new Set();
    this.line = 0;
    this.build();
    this.update(route);
  }

  // option reads what the address says, with a default.
  take(route) {
    const p = route.params;
    this.cell = cellIndex(p.get('cell'));
    this.filter = filterNamed(p.get('show'));
    if (this.filter.cell && this.cell < 0) this.cell = 0;
    this.branches = ['all', 'none'].includes(p.get('branches')) ? p.get('branches') : 'gaps';
    this.line = Math.max(0, Math.min(this.data.last, parseInt(p.get('line'), 10) || 0));
  }

  address() {
    return fileAddress(report.files[this.file].name, { line: this.line || '', show: this.filter.name === 'all' ? '' : this.filter.name,
      cell: this.cell < 0 ? '' : report.cells[this.cell].name, branches: this.branches === 'gaps' ? '' : this.branches });
  }

  build() {
    const f = report.files[this.file];
    const d = this.data;
    const slash = f.name.lastIndexOf('/') + 1;
    this.position = h('span', { class: 'gap-at num' });
    this.toolbar = h('div', { class: 'toolbar' });
    this.viewport = h('div', { class: 'viewport', role: 'grid', tabindex: 0, 'aria-label': 'Source of ' + f.name, 'aria-readonly': 'true' }, this.head());
    this.map = s('svg', { class: 'minimap', viewBox: '0 0 8 1000', preserveAspectRatio: 'none', 'aria-hidden': 'true',
      on: { click: (event) => this.jump(event) } });
    this.side = h('div', { class: 'side' });
    this.viewport.style.setProperty('--strip', grid(report.cells.length).width + 'px');
    this.viewport.style.setProperty('--columns', Math.max(60, d.width + 2));
    replace(this.root, h('div', { class: 'source' },
      h('details', { class: 'drawer', open: matchMedia('(min-width: 900px)').matches }, h('summary', null, 'Files'), tree(this.file)),
      h('section', { class: 'sheet' },
        h('div', { class: 'sheet-head' },
          h('h1', null, h('span', { class: 'dir' }, f.name.slice(0, slash)), h('wbr'), f.name.slice(slash)),
          h('div', { class: 'figs' }, [['lines', f.merged.lines], ['branches', f.merged.branches], ['functions', f.merged.functions]].map(([word, [hit, total]]) =>
            h('span', { class: 'figline' }, h('b', { class: 'num' }, percent(hit, total)), ` ${word} `, h('span', { class: 'quiet num' }, `${hit}/${total}`))))),
        this.toolbar,
        d.note ? h('p', { class: 'notice' }, d.note[0].toUpperCase() + d.note.slice(1) + '.') : null,
        h('div', { class: 'panes' }, this.viewport, this.map, this.side))));
    this.list = new List(this.viewport, (row, i) => this.draw(row, i));
    this.viewport.addEventListener('click', (event) => this.click(event));
    this.viewport.addEventListener('keydown', (event) => this.key(event));
  }

  // head names the columns of the strips, where there is room.
  head() {
    const names = report.cells.length <= 10 ? report.cells.map((c) => h('span', { class: 'col-name' }, h('span', null, `${c.version} ${c.arch}`))) : [];
    const strips = h('span', { class: 'cell-st head-cells', role: 'columnheader', 'aria-label': 'Kernels' }, names.length ? names : h('span', { class: 'quiet' }, plural(report.cells.length, 'kernel')));
    return h('div', { class: 'head' + (names.length ? ' tall' : ''), role: 'row' }, h('span', { class: 'cell-ln', role: 'columnheader' }, h('span', { class: 'unseen' }, 'Line')),
      h('span', { class: 'cell-ct', role: 'columnheader' }, 'count'), strips, h('span', { class: 'cell-tx', role: 'columnheader' }, h('span', { class: 'unseen' }, 'Source')));
  }

  update(route) {
    const old = this.line;
    this.take(route);
    this.tools();
    this.gaps = gapsOf(this.data, this.filter, this.cell);
    this.refresh();
    const want = route.params.get('gap');
    if (want) this.line = (want === 'last' ? this.gaps[this.gaps.length - 1] : this.gaps[0]) || 0;
    this.select(this.line, this.line !== old || want);
  }

  tools() {
    const name = this.cell < 0 ? '' : report.cells[this.cell].name;
    const go = (change) => {
      Object.assign(this, change);
      visit(this.address());
    };
    const filter = h('select', { id: 'show', on: { change: () => go({ filter: filterNamed(filter.value), cell: filterNamed(filter.value).cell && this.cell < 0 ? 0 : this.cell, line: 0 }) } },
      FILTERS.map((f) => h('option', { value: f.name, selected: f === this.filter }, f.text(name))));
    const branches = h('select', { id: 'branches', on: { change: () => go({ branches: branches.value }) } },
      [['gaps', 'with gaps'], ['all', 'all'], ['none', 'none']].map(([v, t]) => h('option', { value: v, selected: v === this.branches }, t)));
    const focused = document.activeElement && document.activeElement.id;
    replace(this.toolbar,
      h('label', { for: 'cell' }, h('span', null, 'Kernel'), cellSelect('cell', name, (v) => go({ cell: cellIndex(v), filter: this.filter.cell && !v ? FILTERS[0] : this.filter }))),
      h('label', { for: 'show' }, h('span', null, 'Show'), filter),
      h('label', { for: 'branches' }, h('span', null, 'Branches'), branches),
      h('div', { class: 'gap-nav', role: 'group', 'aria-label': 'Gaps' },
        h('button', { type: 'button', 'aria-keyshortcuts': 'p', 'data-tip': 'Previous gap (p)', 'aria-label': 'Previous gap', on: { click: () => this.step(-1) } }, '↑'),
        this.position,
        h('button', { type: 'button', 'aria-keyshortcuts': 'n', 'data-tip': 'Next gap (n)', 'aria-label': 'Next gap', on: { click: () => this.step(1) } }, '↓')));
    if (['cell', 'show', 'branches'].includes(focused)) byID(focused).focus();
  }

  // refresh rebuilds the rows after the filter has changed.
  refresh() {
    const wants = this.filter.wants;
    this.list.set(buildRows(this.data, wants ? (i) => matches(this.data, this.filter, this.cell, i) : null, this.branches, this.cell, this.open));
    let d = { some: '', none: '', other: '' };
    const n = this.list.rows.length || 1;
    this.list.rows.forEach((row, i) => {
      if (row.kind !== 'line' || row.index < 0) return;
      const o = overall(statusesOf(this.data, this.data.lineVecs[row.index]), this.cell);
      const k = o === 'some' ? 'some' : o === 'none' || (this.cell >= 0 && gap(Number(o.slice(2)))) ? 'none' : '';
      if (k) d[k] += `M0 ${(1000 * i) / n}h8v${Math.max(2, 1000 / n)}h-8z`;
    });
    replace(this.map, s('path', { class: 'map-some', d: d.some }), s('path', { class: 'map-none', d: d.none }));
    if (!this.list.rows.some((row) => row.kind === 'line')) say('No line is like this.');
  }

  draw(row, i) {
    const d = this.data;
    const cells = { ln: '', ct: '', st: [], tx: [] };
    let cls = 'row ' + row.kind;
    if (row.kind === 'fold') {
      cells.tx.push(h('button', { type: 'button', class: 'unfold', tabindex: -1 }, `⋯ ${plural(row.end - row.line + 1, 'line')} hidden`));
    } else if (row.kind === 'branch') {
      const b = d.branches[row.branch];
      const [vec, counts] = sideOf(b, row.side);
      cls += ' o-' + overall(statusesOf(d, vec), this.cell);
      cells.ct = this.count(vec, counts);
      cells.st.push(stripOf(d, vec, counts));
      const text = d.text && d.text[row.line - 1] || '';
      cells.tx.push(h('span', { class: 'branch-pad' }, /^\s*/.exec(text)[0]), h('span', { class: 'branch-side' }, (row.side ? 'true' : 'false')),
        h('code', null, conditionOf(d, b) || (b.source ? `in ${b.source}:${b.at[1]}:${b.at[2]}` : `column ${b.at[2]}`)));
    } else {
      cells.ln = String(row.line);
      if (row.index >= 0) {
        const vec = d.lineVecs[row.index], counts = d.lineCounts[row.index];
        cls += ' code o-' + overall(statusesOf(d, vec), this.cell);
        cells.ct = this.count(vec, counts);
        cells.st.push(stripOf(d, vec, counts));
      }
      if (d.text && row.line <= d.text.length) cells.tx.push(...highlight(d.text[row.line - 1], d.comments[row.line - 1]));
    }
    const current = row.kind === 'line' && row.line === this.line;
    return h('div', { class: cls + (current ? ' current' : ''), id: 'row' + i, role: 'row', 'aria-rowindex': i + 1, 'aria-selected': row.kind === 'line' ? String(current) : null, data: { row: i } },
      h('span', { class: 'cell-ln', role: row.kind === 'line' ? 'rowheader' : 'gridcell' }, cells.ln), h('span', { class: 'cell-ct', role: 'gridcell' }, cells.ct),
      h('span', { class: 'cell-st', role: 'gridcell' }, cells.st), h('span', { class: 'cell-tx', role: 'gridcell' }, cells.tx));
  }

  count(vec, counts) {
    if (this.cell < 0) return statusesOf(this.data, vec).some(counted) ? shortCount(sumOf(this.data, counts)) : '';
    const state = stateAt(this.data, vec, counts, this.cell);
    return state.status === HIT ? shortCount(state.count) : gap(state.status) ? '0' : '';
  }

  click(event) {
    const node = event.target.closest('.row');
    if (!node || String(getSelection())) return;
    const row = this.list.rows[node.dataset.row];
    if (row.kind === 'fold') {
      this.open.add(row.line);
      this.refresh();
      return;
    }
    if (event.target.closest('.strip') && event.pointerType === 'touch') return; // the tip is what was asked for
    this.select(row.line === this.line ? 0 : row.line, false, true);
  }

  // select marks a line and shows its panel; 0 takes the mark away.
  select(line, reveal, keep) {
    this.line = line;
    for (const node of this.list.drawn.values()) {
      const row = this.list.rows[node.dataset.row];
      if (row.kind !== 'line') continue;
      node.classList.toggle('current', row.line === line);
      node.setAttribute('aria-selected', String(row.line === line));
    }
    const i = line ? this.rowOf(line) : -1;
    replace(this.side, line ? detail(this.data, line, this.cell, () => this.select(0, false, true)) : null);
    this.root.firstChild.classList.toggle('with-side', line > 0);
    if (i >= 0) {
      if (reveal) this.list.reveal(i, true);
      else if (keep) this.list.reveal(i, false);
      this.viewport.setAttribute('aria-activedescendant', 'row' + i);
    } else {
      this.viewport.removeAttribute('aria-activedescendant');
    }
    visit(this.address(), true);
    const at = this.gaps.indexOf(line);
    const total = plural(this.gaps.length, this.filter.cell || this.filter.name === 'differs' ? 'place' : 'gap');
    this.position.textContent = at >= 0 ? `${at + 1} of ${total}` : total;
  }

  rowOf(line) {
    return this.list.rows.findIndex((row) => row.kind !== 'branch' && row.line <= line && line <= (row.kind === 'fold' ? row.end : row.line));
  }

  // step goes to the next gap (1) or the one before (-1), also in the next file.
  step(direction) {
    const next = direction > 0 ? this.gaps.find((n) => n > this.line) : this.gaps.findLast((n) => n < (this.line || Infinity));
    if (next !== undefined) {
      this.select(next, true);
      say(`Line ${next}: ` + tally(statusesOf(this.data, this.data.lineVecs[this.data.index.get(next)])));
      return;
    }
    const n = report.files.length;
    for (let k = 1; k < n; k++) {
      const f = report.files[(this.file + direction * k + n * k) % n];
      if (hasGaps(f, this.cell)) {
        const keep = parseRoute(this.address()).params;
        keep.delete('line');
        visit(fileAddress(f.name, { ...Object.fromEntries(keep), gap: direction > 0 ? 'first' : 'last' }));
        return;
      }
    }
    say('No other gap.');
  }

  // move goes to another line that is shown.
  move(by) {
    const rows = this.list.rows;
    let i = this.line ? this.rowOf(this.line) : by > 0 ? -1 : rows.length;
    const step = Math.sign(by);
    let last = -1;
    for (let left = Math.abs(by); left > 0; left--) {
      do i += step; while (i >= 0 && i < rows.length && rows[i].kind !== 'line');
      if (i < 0 || i >= rows.length) break;
      last = i;
    }
    if (last >= 0) this.select(rows[last].line, false, true);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.viewport.clientHeight / ROW) - 2);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.move(by);
  }

  jump(event) {
    const box = this.map.getBoundingClientRect();
    this.viewport.scrollTop = ((event.clientY - box.top) / box.height) * this.viewport.scrollHeight - this.viewport.clientHeight / 2;
  }
}

// hasGaps tells whether a file has lines that could have run and did not.
function hasGaps(f, cell) {
  for (let i = 0; i < report.cells.length; i++) {
    if ((cell < 0 || cell === i) && f.cells[2 * i] < f.cells[2 * i + 1]) return true;
  }
  return false;
}

page('file', {
  title: 'Source', nav: 'file',
  heading: (route) => baseName(route.rest) || 'Source',
  show(root, route) {
    view = null;
    const index = route.rest ? fileIndex(route.rest) : report.files.length ? firstFile() : -1;
    if (index < 0) {
      failed(root, route.rest ? `There is no file ${route.rest} in this report.` : 'There is no file in this report.');
      return;
    }
    if (!route.rest) {
      visit(fileAddress(report.files[index].name, Object.fromEntries(route.params)), true);
      route = shown;
    }
    replace(root, h('p', { class: 'notice' }, 'Loading ' + report.files[index].name + ' …'));
    load('f' + index).then((data) => {
      if (shown === route || (shown.name === 'file' && shown.rest === report.files[index].name)) view = new SourceView(root, index, data, shown);
    }).catch((error) => failed(root, error));
  },
  update(route) {
    if (view) view.update(route);
  },
});

// firstFile is the one with most code: where somebody who names no file wants to be.
function firstFile() {
  return report.files.reduce((best, f, i) => (f.size > report.files[best].size ? i : best), 0);
}
