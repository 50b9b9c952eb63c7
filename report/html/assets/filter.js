// What the source view shows: all lines, or those of one kind. "here" is the cell that is looked at.

const FILTERS = [
  { name: 'all', text: () => 'all lines', wants: null },
  { name: 'gaps', text: (c) => (c ? `gaps on ${c}` : 'gaps on any kernel'), wants: isGap },
  { name: 'differs', text: () => 'differs between kernels', wants: (states) => isDifferent(states) },
  { name: 'missing', text: (c) => `missing on ${c || '…'}`, cell: true, wants: (states, cell) => gap(states[cell]) },
  { name: 'eliminated', text: (c) => `eliminated on ${c || '…'}`, cell: true, wants: (states, cell) => states[cell] === ELIMINATED },
  { name: 'only', text: (c) => `hit only on ${c || '…'}`, cell: true, wants: isOnly },
];

// isGap tells whether something could have run in the cell and did not; with cell < 0, whether that is so in any, or whether cells differ.
function isGap(states, cell) {
  return cell >= 0 ? gap(states[cell]) : states.some(gap) || isDifferent(states);
}

// isDifferent tells whether some cell ran it and another, of which something is known, did not.
function isDifferent(states) {
  let hit = false, other = false;
  for (const x of states) {
    hit = hit || x === HIT;
    other = other || (x !== HIT && x !== NOT_RUN);
  }
  return hit && other;
}

function isOnly(states, cell) {
  return states[cell] === HIT && states.every((x, i) => i === cell || x !== HIT);
}

function filterNamed(name) {
  return FILTERS.find((f) => f.name === name) || FILTERS[0];
}

// cellIndex finds a cell by name, -1 for none.
function cellIndex(name) {
  return name ? report.cells.findIndex((c) => c.name === name) : -1;
}

// matches tells whether a filter wants a line, also for one of its branches' sides.
function matches(data, filter, cell, index) {
  if (!filter.wants) return true;
  if (filter.wants(statusesOf(data, data.lineVecs[index]), cell)) return true;
  if (filter.name === 'gaps' || filter.name === 'differs') return false;
  return (data.branchesOf.get(data.numbers[index]) || []).some((b) =>
    [true, false].some((side) => filter.wants(statusesOf(data, sideOf(data.branches[b], side)[0]), cell)));
}

// gapsOf lists where the keyboard jumps to: the first line of each run of lines that are wanted and fare alike.
function gapsOf(data, filter, cell) {
  const f = filter.wants ? filter : filterNamed('gaps');
  const out = [];
  let last = -2, lastVec = -1;
  for (let i = 0; i < data.numbers.length; i++) {
    if (!matches(data, f, cell, i)) continue;
    const vec = data.lineVecs[i];
    if (i !== last + 1 || vec !== lastVec) out.push(data.numbers[i]);
    last = i;
    lastVec = vec;
  }
  return out;
}

// cellSelect chooses a cell.
function cellSelect(id, current, onChange) {
  const arches = [...new Set(report.cells.map((c) => c.arch))];
  const select = h('select', { id, on: { change: () => onChange(select.value) } }, h('option', { value: '' }, 'all kernels'),
    arches.map((arch) => h('optgroup', { label: arch }, report.cells.filter((c) => c.arch === arch).map((c) => h('option', { value: c.name }, c.name)))));
  select.value = current;
  return select;
}
