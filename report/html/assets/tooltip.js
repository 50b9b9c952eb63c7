// The tip says what is under the pointer, or under the keyboard in a strip: kernel, status, count and reason.

const explained = new WeakMap(); // strip to a function of the cell's index

// explain says what the marks of a strip mean. state returns {status, count, reason}, and word, note and title where these say it better.
function explain(svg, state, labels) {
  explained.set(svg, { state, labels });
  return svg;
}

// cellText is a cell's full name.
function cellText(c) {
  return c.kernel ? `${c.kernel} ${c.arch}` : c.name;
}

function tipContent(index, state) {
  const c = report.cells[index];
  const lines = [
    h('div', { class: 'tip-cell' }, c.name),
    h('div', { class: 'tip-state' }, mark(state.status), h('b', null, state.word || STATUSES[state.status].word),
      state.status === HIT && state.count !== undefined ? h('span', null, `${formatCount(state.count)}×`) : null),
  ];
  const why = state.note !== undefined ? state.note : state.status === HIT ? '' : cause(state.status, state.reason);
  if (why && why !== STATUSES[state.status].word) lines.push(h('div', { class: 'tip-why' }, why));
  lines.push(h('div', { class: 'tip-kernel' }, [cellText(c), c.llvm ? 'LLVM ' + c.llvm : '', c.accel].filter(Boolean).join(' · ')));
  return lines;
}

// showTip puts the tip beside a box on the screen.
function showTip(content, x, y) {
  const tip = byID('tip');
  replace(tip, content);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 12, document.documentElement.clientWidth - width - 4)) + 'px';
  tip.style.top = (y + 18 + height > document.documentElement.clientHeight ? Math.max(4, y - height - 12) : y + 18) + 'px';
}

function hideTip() {
  byID('tip').hidden = true;
  for (const old of document.querySelectorAll('.strip .cursor')) old.remove();
}

// indexAt is the cell whose mark is at a point of a strip, -1 for none.
function indexAt(svg, x, y) {
  const box = svg.getBoundingClientRect();
  const g = grid(report.cells.length);
  const col = Math.floor(((x - box.left) / box.width) * g.cols);
  const row = Math.min(g.rows - 1, Math.max(0, Math.floor((((y - box.top) / box.height) * g.height) / g.py)));
  const i = row * g.cols + col;
  return col >= 0 && col < g.cols && i < report.cells.length ? i : -1;
}

// point frames the mark of a cell.
function point(svg, index) {
  for (const old of document.querySelectorAll('.strip .cursor')) old.remove();
  const g = grid(report.cells.length);
  svg.append(s('rect', { class: 'cursor', x: (index % g.cols) * g.px - 1, y: Math.floor(index / g.cols) * g.py - 1, width: g.w + 2, height: g.h + 2 }));
}

function tipFor(svg, index, x, y) {
  const e = explained.get(svg);
  if (!e || index < 0) return hideTip();
  point(svg, index);
  showTip(tipContent(index, e.state(index)), x, y);
}

function listenForTips() {
  const over = (event) => {
    const svg = event.target.closest && event.target.closest('.strip');
    if (svg && explained.has(svg)) {
      tipFor(svg, indexAt(svg, event.clientX, event.clientY), event.clientX, event.clientY);
      return;
    }
    const noted = event.target.closest && event.target.closest('[data-tip]');
    if (noted) showTip([h('div', null, noted.dataset.tip)], event.clientX, event.clientY);
    else hideTip();
  };
  document.addEventListener('pointermove', (event) => event.pointerType !== 'touch' && over(event));
  document.addEventListener('pointerdown', (event) => event.pointerType === 'touch' && over(event));
  document.addEventListener('scroll', hideTip, true);
  // In a strip that has the focus, the arrows go from cell to cell.
  document.addEventListener('keydown', (event) => {
    const svg = event.target.closest && event.target.closest('.strip');
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!svg || !explained.has(svg) || !step) return;
    event.preventDefault();
    event.stopPropagation();
    const last = report.cells.length - 1;
    const index = Math.max(0, Math.min(last, Number(svg.dataset.at === undefined ? (step > 0 ? -1 : last + 1) : svg.dataset.at) + step));
    svg.dataset.at = index;
    const box = svg.getBoundingClientRect();
    const g = grid(report.cells.length);
    tipFor(svg, index, box.left + (index % g.cols) * g.px, box.bottom - 14);
    say(byID('tip').innerText.replace(/\n+/g, ', '));
  });
  document.addEventListener('focusout', (event) => event.target.closest && event.target.closest('.strip') && hideTip());
}
