// What became of one line in every cell, in words.

// groupsOf joins cells of equal status and reason: what says most first.
function groupsOf(table, vec) {
  const groups = new Map();
  expand(table, vec).forEach((state, cell) => {
    if (!groups.has(state)) groups.set(state, { status: table.states[state][0], reason: table.states[state][1], cells: [] });
    groups.get(state).cells.push(cell);
  });
  return [...groups.values()].sort((a, b) => b.status - a.status);
}

// cellWords names cells shortly: "amd64 5.10–6.12, arm64 6.1".
function cellWords(indices) {
  const wanted = new Set(indices);
  const arches = new Map();
  report.cells.forEach((c, i) => {
    if (!arches.has(c.arch)) arches.set(c.arch, []);
    arches.get(c.arch).push(i);
  });
  const out = [];
  for (const [arch, all] of arches) {
    const parts = [];
    for (let i = 0; i < all.length; i++) {
      if (!wanted.has(all[i])) continue;
      let end = i;
      while (end + 1 < all.length && wanted.has(all[end + 1])) end++;
      const first = report.cells[all[i]].version, last = report.cells[all[end]].version;
      parts.push(end - i > 1 ? `${first}–${last}` : end > i ? `${first} ${last}` : first);
      i = end;
    }
    if (parts.length) out.push(`${arch} ${parts.join(' ')}`);
  }
  return out.join(' · ');
}

// groupList is a list of groups in words.
function groupList(groups) {
  return h('ul', { class: 'groups' }, groups.map((g) => h('li', null, mark(g.status), h('div', null,
    h('span', { class: 'group-cause' }, g.cause || cause(g.status, g.reason)), h('span', { class: 'group-cells' }, cellWords(g.cells))))));
}

// detail is the panel of one line.
function detail(data, line, cell, close) {
  const index = data.index.get(line);
  const fn = data.functions.find((f) => f.line <= line && line <= f.end);
  const parts = [h('header', { class: 'detail-head' }, h('h2', null, `Line ${line}`), fn ? h('span', { class: 'detail-fn' }, fn.name) : null,
    h('button', { type: 'button', class: 'icon', 'aria-label': 'Close', on: { click: close } }, '×'))];
  if (index === undefined) {
    parts.push(h('p', { class: 'quiet' }, 'No code on any kernel.'));
    return h('aside', { class: 'detail', 'aria-label': 'Line ' + line }, parts);
  }
  const vec = data.lineVecs[index], counts = data.lineCounts[index];
  parts.push(groupList(groupsOf(data, vec)));
  const branches = data.branchesOf.get(line) || [];
  if (branches.length) {
    parts.push(h('h3', null, branches.length === 1 ? 'Branch' : 'Branches'));
    for (const i of branches) {
      const b = data.branches[i];
      parts.push(h('div', { class: 'detail-branch' }, h('code', null, conditionOf(data, b) || (b.source ? `${baseName(b.source)}:${b.at[1]}` : `column ${b.at[2]}`)),
        [true, false].map((side) => {
          const [v, c] = sideOf(b, side);
          const svg = stripOf(data, v, c);
          svg.setAttribute('tabindex', 0);
          return h('div', { class: 'detail-side' }, h('span', null, side ? 'true' : 'false'), svg, h('span', { class: 'num' }, shortCount(sumOf(data, c)) + '×'));
        })));
    }
  }
  parts.push(h('table', { class: 'detail-cells' },
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Kernel'), h('th', { scope: 'col' }, 'Status'), h('th', { scope: 'col', class: 'num' }, 'Count'))),
    h('tbody', null, report.cells.map((c, i) => {
      const state = stateAt(data, vec, counts, i);
      return h('tr', { class: i === cell ? 'current' : null, title: state.status === HIT ? null : cause(state.status, state.reason) },
        h('th', { scope: 'row' }, c.name), h('td', null, badge(state.status)),
        h('td', { class: 'num' }, state.status === HIT ? formatCount(state.count) : state.status === MISSED ? '0' : ''));
    }))));
  return h('aside', { class: 'detail', 'aria-label': 'Line ' + line }, parts);
}
