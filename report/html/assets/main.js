// The frame: head, theme, start.

const NAV = [['matrix', 'Matrix', '#/'], ['file', 'Source', '#/file'], ['gaps', 'Differences', '#/gaps'], ['functions', 'Functions', '#/functions'], ['programs', 'Programs', '#/programs'], ['tests', 'Tests', '#/tests']];

// The choice of a theme is kept where the browser lets a page from disk keep anything.
function storedTheme() {
  try {
    return localStorage.getItem('bpfcov-theme');
  } catch {
    return null;
  }
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  try {
    if (theme) localStorage.setItem('bpfcov-theme', theme);
  } catch {
    // Then it lasts as long as the page.
  }
}

function toggleTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  setTheme(dark ? 'light' : 'dark');
}

async function start() {
  const theme = storedTheme();
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  try {
    report = await load('report');
    if (report.statuses.some((word, i) => !STATUSES[i] || STATUSES[i].word !== word)) throw new Error('the data of this report is of another version than its program');
  } catch (error) {
    failed(byID('main'), error);
    return;
  }
  replace(byID('top'), h('a', { class: 'brand', href: '#/' }, h('b', null, 'bpfcov'), report.title ? h('span', null, report.title) : null),
    h('nav', { class: 'nav', 'aria-label': 'Pages' }, NAV.map(([name, text, href]) => h('a', { href, data: { page: name } }, text))),
    new Search().node,
    h('button', { type: 'button', class: 'icon', 'aria-label': 'Light or dark', 'data-tip': 'Light or dark (t)', on: { click: toggleTheme } }, '◐'),
    h('button', { type: 'button', class: 'icon', 'aria-label': 'Keys', 'data-tip': 'Keys (?)', on: { click: help } }, '?'));
  window.addEventListener('hashchange', show);
  listenForTips();
  listenForKeys();
  show();
}

start();
