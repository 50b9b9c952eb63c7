// The rows of the source view: lines, the sides of branches below them, and folds where lines are hidden.

const ROW = 21; // height of a row in pixels, also in source.css

// unpack turns a file's data into what is easy to draw. It keeps what it has unpacked.
function unpack(data) {
  if (data.numbers) return data;
  data.numbers = new Int32Array(data.lines.length); // line number of each line of code
  data.text = data.text === null ? null : data.text.split('\n');
  let at = 0;
  for (let i = 0; i < data.lines.length; i++) data.numbers[i] = at += data.lines[i];
  data.last = Math.max(at, data.text ? data.text.length : 0);
  data.index = new Map(); // line number to index
  data.numbers.forEach((n, i) => data.index.set(n, i));
  data.comments = data.text ? commentStarts(data.text) : null;
  data.branchesOf = new Map(); // line number to indices of branches
  data.branches.forEach((b, i) => {
    const n = b.at[0];
    if (!data.branchesOf.has(n)) data.branchesOf.set(n, []);
    data.branchesOf.get(n).push(i);
  });
  data.width = 0;
  for (const line of data.text || []) data.width = Math.max(data.width, Math.min(2000, line.length + 7 * (line.split('\t').length - 1)));
  return data;
}

// sideOf is one side of a branch: vector and counts.
function sideOf(branch, side) {
  return side ? [branch.at[5], branch.at[6]] : [branch.at[7], branch.at[8]];
}

// conditionOf is the text of a branch's condition, as far as it is on one line of this file.
function conditionOf(data, branch) {
  const [, line, col, endLine, endCol] = branch.at;
  if (branch.source || !data.text || line < 1 || line > data.text.length) return '';
  const text = data.text[line - 1];
  if (endLine !== line) return text.slice(col - 1).trim() + ' …';
  let end = endCol - 1;
  if (text[end] === '(') {
    // The mapping ends behind the name of a macro; its arguments belong to it.
    for (let depth = 0; end < text.length; end++) {
      depth += text[end] === '(' ? 1 : text[end] === ')' ? -1 : 0;
      if (depth === 0) {
        end++;
        break;
      }
    }
  }
  return text.slice(col - 1, end).trim();
}

// branchWanted tells whether a side of a branch has a row of its own: all of them, or those that did not run
// somewhere where their line did.
function branchWanted(data, branch, side, mode, cell) {
  if (mode === 'none') return false;
  if (mode === 'all') return true;
  const line = data.index.get(branch.at[0]);
  if (line === undefined) return true;
  const ran = statusesOf(data, data.lineVecs[line]);
  const states = statusesOf(data, sideOf(branch, side)[0]);
  for (let i = 0; i < states.length; i++) {
    if ((cell < 0 || cell === i) && ran[i] === HIT && states[i] !== HIT) return true;
  }
  return false;
}

// buildRows lists what is to be drawn. wanted tells for the index of a line of code whether the filter shows it; it is null without a
// filter. open are the numbers of the first lines of folds that were opened.
function buildRows(data, wanted, branches, cell, open) {
  const rows = [];
  const shown = new Uint8Array(data.last + 2);
  const around = 2;
  if (wanted) {
    data.numbers.forEach((n, i) => {
      if (wanted(i)) shown.fill(1, Math.max(1, n - around), Math.min(data.last, n + around) + 1);
    });
  } else {
    shown.fill(1, 1, data.last + 1);
  }
  for (let n = 1; n <= data.last; n++) {
    if (!shown[n]) {
      let end = n;
      while (end < data.last && !shown[end + 1]) end++;
      if (open.has(n) || end - n < 2) shown.fill(1, n, end + 1);
      else {
        rows.push({ kind: 'fold', line: n, end });
        n = end;
        continue;
      }
    }
    const index = data.index.get(n);
    rows.push({ kind: 'line', line: n, index: index === undefined ? -1 : index });
    for (const b of data.branchesOf.get(n) || []) {
      for (const side of [true, false]) {
        if (branchWanted(data, data.branches[b], side, branches, cell)) rows.push({ kind: 'branch', line: n, branch: b, side });
      }
    }
  }
  return rows;
}

// overall sums up a position for the colour of its row: for one cell its status, for all of them "all" (ran wherever it could), "some" or "none".
function overall(statuses, cell) {
  if (cell >= 0) return 'in' + statuses[cell];
  let hit = false, missing = false, gone = false;
  for (const x of statuses) {
    if (x === HIT) hit = true;
    else if (gap(x)) missing = true;
    else if (x === ELIMINATED) gone = true;
  }
  if (hit) return missing || gone ? 'some' : 'all';
  return missing ? 'none' : 'gone';
}

// List draws the rows that are on screen, and those around them.
class List {
  constructor(viewport, draw) {
    this.viewport = viewport;
    this.draw = draw;
    this.rows = [];
    this.drawn = new Map(); // index of a row to its element
    this.window = h('div', { class: 'rows', role: 'rowgroup' });
    viewport.append(this.window);
    viewport.addEventListener('scroll', () => this.schedule(), { passive: true });
    this.observer = new ResizeObserver(() => this.schedule());
    this.observer.observe(viewport);
  }

  set(rows) {
    this.rows = rows;
    this.window.style.height = rows.length * ROW + 'px';
    this.viewport.setAttribute('aria-rowcount', rows.length);
    this.redraw();
  }

  redraw() {
    this.drawn.clear();
    this.window.replaceChildren();
    this.render();
  }

  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.render();
    });
  }

  render() {
    const head = this.window.offsetTop; // the sticky head of the columns
    const top = this.viewport.scrollTop, height = this.viewport.clientHeight;
    const around = 20;
    const from = Math.max(0, Math.floor((top - head) / ROW) - around), to = Math.min(this.rows.length, Math.ceil((top + height) / ROW) + around);
    for (const [i, node] of this.drawn) {
      if (i < from || i >= to) {
        node.remove();
        this.drawn.delete(i);
      }
    }
    for (let i = from; i < to; i++) {
      if (this.drawn.has(i)) continue;
      const node = this.draw(this.rows[i], i);
      node.style.top = i * ROW + 'px';
      let next = i + 1;
      while (next < to && !this.drawn.has(next)) next++;
      this.window.insertBefore(node, this.drawn.get(next) || null); // in order, for whoever reads them aloud
      this.drawn.set(i, node);
    }
  }

  // reveal scrolls a row into view: to the middle, or just as far as is needed.
  reveal(i, middle) {
    const head = this.window.offsetTop;
    const y = i * ROW, height = this.viewport.clientHeight - head, top = this.viewport.scrollTop;
    if (middle) this.viewport.scrollTop = y - height / 3;
    else if (y < top) this.viewport.scrollTop = y;
    else if (y + ROW > top + height - ROW) this.viewport.scrollTop = y + 2 * ROW - height;
    this.render();
  }
}
