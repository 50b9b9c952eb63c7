// Keys of the whole site. They are off while somebody types.

const KEYS = [
  ['n', 'next gap'], ['p', 'previous gap'], ['↑ ↓', 'line before, next line (in the source)'], ['[ ]', 'file before, next file'], ['b', 'branches: with gaps, all, none'],
  ['/', 'search'], ['1 … 6', 'pages'], ['t', 'light or dark'], ['Esc', 'close'], ['?', 'this list'],
];

function help() {
  const dialog = h('dialog', { class: 'help', 'aria-labelledby': 'help-title' }, h('h2', { id: 'help-title' }, 'Keys'),
    h('dl', null, KEYS.map(([k, text]) => [h('dt', null, k.split(' ').map((x) => h('kbd', null, x))), h('dd', null, text)])),
    h('h2', null, 'Marks'), h('ul', { class: 'help-marks' }, LEGEND.map((x) => h('li', null, badge(x), h('span', { class: 'quiet' }, STATUSES[x].text)))),
    h('form', { method: 'dialog', on: { submit: (event) => { event.preventDefault(); dialog.close(); } } }, h('button', { type: 'submit' }, 'Close')));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function turnPage(step) {
  if (!view || shown.name !== 'file') return;
  const n = report.files.length;
  visit(fileAddress(report.files[(view.file + step + n) % n].name, { cell: view.cell < 0 ? '' : report.cells[view.cell].name }));
}

function listenForKeys() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.target.closest('input, select, textarea, dialog')) return;
    const act = {
      n: () => view && shown.name === 'file' && view.step(1),
      p: () => view && shown.name === 'file' && view.step(-1),
      '[': () => turnPage(-1),
      ']': () => turnPage(1),
      b: () => {
        if (!view || shown.name !== 'file') return;
        view.branches = { gaps: 'all', all: 'none', none: 'gaps' }[view.branches];
        visit(view.address());
      },
      '/': () => byID('search').focus(),
      t: toggleTheme,
      '?': help,
      Escape: () => {
        hideTip();
        if (view && shown.name === 'file' && view.line) view.select(0, false, true);
      },
    }[event.key];
    if (act) {
      event.preventDefault();
      act();
    } else if (/^[1-6]$/.test(event.key)) {
      document.querySelectorAll('.nav a')[event.key - 1].click();
    }
  });
}
