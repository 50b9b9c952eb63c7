// Statuses have a colour, a shape and a letter each: colour is never the only sign.

const NOT_RUN = 0, NOT_BUILT = 1, FOLDED = 2, ELIMINATED = 3, MISSED = 4, NOT_LOADED = 5, REJECTED = 6, HIT = 7;
const STATUSES = [
  { word: 'not-run', letter: '-', text: 'nothing is known: the kernel did not boot, or the run was lost' },
  { word: 'not-built', letter: 'b', text: 'no object of this cell contains it' },
  { word: 'folded', letter: 'f', text: 'the optimiser merged it away, so that nobody can tell' },
  { word: 'eliminated', letter: 'e', text: "removed by this kernel's verifier" },
  { word: 'missed', letter: 'm', text: 'could have run and did not' },
  { word: 'not-loaded', letter: 'l', text: 'in no program that was loaded' },
  { word: 'rejected', letter: 'r', text: 'only in programs that the kernel refused' },
  { word: 'hit', letter: 'h', text: 'ran' },
];
const LEGEND = [HIT, MISSED, ELIMINATED, NOT_LOADED, REJECTED, NOT_BUILT, FOLDED, NOT_RUN];

// counted tells whether a status belongs to the denominator of its cell.
function counted(status) {
  return status >= MISSED;
}

// gap tells whether a status is something that could have been hit and was not.
function gap(status) {
  return status >= MISSED && status !== HIT;
}

// cause says in words why.
function cause(status, reason) {
  if (reason) return report.reasons[reason];
  return { [HIT]: 'ran', [MISSED]: 'not reached', [ELIMINATED]: 'eliminated by the verifier', [NOT_LOADED]: 'not loaded',
    [REJECTED]: 'program rejected', [NOT_BUILT]: 'not built', [NOT_RUN]: 'not run', [FOLDED]: 'folded' }[status];
}

// shape is the outline of a mark in a box, to be filled by the even-odd rule.
function shape(status, x, y, w, h) {
  const box = (x, y, w, h) => `M${x} ${y}h${w}v${h}h${-w}z`;
  const small = w < 5;
  switch (status) {
    case HIT:
      return box(x, y, w, h);
    case MISSED:
      return small ? box(x, y + h / 2, w, h / 2) : box(x, y, w, h) + box(x + 1.5, y + 1.5, w - 3, h - 3);
    case ELIMINATED:
      return box(x, y + h / 2 - (small ? 0.5 : 1), w, small ? 1 : 2);
    case NOT_LOADED:
      return small ? box(x, y + h - 1, w, 1) + box(x, y, w, 1) : box(x + w / 2 - 2, y + h / 2 - 2, 4, 4);
    case REJECTED: {
      if (small) return box(x, y, w, h / 2);
      const t = 2, m = Math.min(w, h), x0 = x + (w - m) / 2, y0 = y + (h - m) / 2, x1 = x0 + m, y1 = y0 + m, cx = x + w / 2, cy = y + h / 2, q = t * 0.7;
      return `M${x0} ${y0 + q}L${x0 + q} ${y0}L${cx} ${cy - q}L${x1 - q} ${y0}L${x1} ${y0 + q}L${cx + q} ${cy}L${x1} ${y1 - q}L${x1 - q} ${y1}L${cx} ${cy + q}L${x0 + q} ${y1}L${x0} ${y1 - q}L${cx - q} ${cy}z`;
    }
    case NOT_BUILT:
      return box(x, y + h - 1, w, 1);
    case FOLDED:
      return small ? box(x, y + h / 4, w, 1) + box(x, y + (3 * h) / 4, w, 1) : box(x, y + h / 2 - 3, w, 2) + box(x, y + h / 2 + 1, w, 2);
    default:
      return box(x + w / 2 - 0.5, y + h / 2 - 0.5, 1, 1);
  }
}

// mark is one status as a picture.
function mark(status, size = 10) {
  return s('svg', { class: 'mark', width: size, height: size, viewBox: '0 0 10 10', 'aria-hidden': 'true' },
    s('path', { class: 's' + status, 'fill-rule': 'evenodd', d: shape(status, 0, 0, 10, 10) }));
}

// badge is a mark with its word.
function badge(status, text) {
  return h('span', { class: 'badge' }, mark(status), text || STATUSES[status].word);
}

// grid is how n marks are laid out in a strip.
function grid(n) {
  const [rows, w, height, px, py] = n <= 10 ? [1, 10, 12, 13, 12] : n <= 24 ? [1, 8, 12, 10, 12] : n <= 48 ? [1, 5, 12, 6, 12]
    : n <= 96 ? [2, 5, 7, 6, 8] : n <= 240 ? [3, 3, 5, 4, 6] : [3, 2, 5, 3, 6];
  const cols = Math.ceil(n / rows);
  return { rows, cols, w, h: height, px, py, width: cols * px, height: (rows - 1) * py + height };
}

// strip is a picture with a mark for each cell. statuses has the status of each.
function strip(statuses) {
  const g = grid(statuses.length);
  const paths = new Map();
  for (let i = 0; i < statuses.length; i++) {
    const x = (i % g.cols) * g.px, y = Math.floor(i / g.cols) * g.py;
    paths.set(statuses[i], (paths.get(statuses[i]) || '') + shape(statuses[i], x, y, g.w, g.h));
  }
  const svg = s('svg', { class: 'strip', role: 'img', tabindex: -1, 'aria-label': tally(statuses), width: g.width, height: g.height,
    viewBox: `0 0 ${g.width} ${g.height}` });
  for (const [status, d] of paths) svg.append(s('path', { class: 's' + status, 'fill-rule': 'evenodd', d }));
  return svg;
}

// tally counts statuses in words: "hit on 4 cells, eliminated on 2".
function tally(statuses) {
  const n = new Map();
  for (const x of statuses) n.set(x, (n.get(x) || 0) + 1);
  return [...n.keys()].sort((a, b) => b - a).map((x) => `${STATUSES[x].word} on ${n.get(x)}`).join(', ');
}

// stripOf is the strip of a vector. Most lines share theirs with others, so that one is drawn and the rest are copies.
function stripOf(table, vec, counts) {
  if (!table.strips) table.strips = [];
  const svg = (table.strips[vec] ||= strip(statusesOf(table, vec))).cloneNode(true);
  explain(svg, (cell) => stateAt(table, vec, counts, cell));
  return svg;
}

// bar is a stack of the statuses of a cell's lines.
function bar(counts, label) {
  const order = LEGEND.filter((x) => counts[x] > 0 && x !== NOT_RUN && x !== NOT_BUILT);
  const total = order.reduce((sum, x) => sum + counts[x], 0);
  const svg = s('svg', { class: 'bar', role: 'img', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-label': label || order.map((x) =>
    `${counts[x]} ${STATUSES[x].word}`).join(', ') || 'no lines' });
  let x = 0;
  for (const status of order) {
    const w = (100 * counts[status]) / total;
    svg.append(s('rect', { class: 's' + status, x, y: status === HIT ? 0 : status === ELIMINATED ? 3 : 1, width: Math.max(0, w - 0.4), height: status === HIT ? 8 : status === ELIMINATED ? 2 : 6 }));
    x += w;
  }
  return svg;
}
