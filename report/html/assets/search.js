// Search over files, functions and the text of all sources.

const FOUND = 40; // results of each kind that are listed

class Search {
  constructor() {
    this.input = h('input', { id: 'search', type: 'search', role: 'combobox', 'aria-expanded': 'false', 'aria-controls': 'results', 'aria-label': 'Search files, functions and text', 'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false',
      placeholder: 'Search  /', on: { input: () => this.run(), keydown: (event) => this.key(event), focus: () => this.run() } });
    this.list = h('div', { id: 'results', class: 'results', role: 'listbox', 'aria-label': 'Results', hidden: true });
    this.node = h('div', { class: 'search' }, this.input, this.list);
    this.at = -1;
    document.addEventListener('pointerdown', (event) => !this.node.contains(event.target) && this.close());
    window.addEventListener('hashchange', () => this.close());
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute('aria-expanded', 'false');
    this.input.removeAttribute('aria-activedescendant');
    this.turn = null;
  }

  async run() {
    const q = this.input.value.trim().toLowerCase();
    const turn = (this.turn = {});
    if (q.length < 2) return this.close();
    const files = report.files.filter((f) => f.name.toLowerCase().includes(q)).slice(0, FOUND)
      .map((f) => ({ href: fileAddress(f.name), nodes: [h('code', null, f.name), h('span', { class: 'quiet num' }, percent(...f.merged.lines))] }));
    this.draw([['Files', files]], true);
    const data = await load('functions').catch(() => ({ rows: [] }));
    if (this.turn !== turn) return;
    const functions = data.rows.filter((r) => r.name.toLowerCase().includes(q)).slice(0, FOUND)
      .map((r) => ({ href: fileAddress(report.files[r.file].name, { line: r.line }), nodes: [h('code', null, r.name), h('span', { class: 'quiet' }, `${baseName(report.files[r.file].name)}:${r.line}`)] }));
    const lines = [];
    this.draw([['Files', files], ['Functions', functions]], q.length > 2);
    if (q.length < 3) return;
    for (let k = 0; k < report.files.length && lines.length < FOUND; k++) {
      const file = await load('f' + k).then(unpack).catch(() => null);
      if (this.turn !== turn) return;
      for (let i = 0; file && file.text && i < file.text.length && lines.length < FOUND; i++) {
        if (file.text[i].toLowerCase().includes(q)) {
          lines.push({ href: fileAddress(report.files[k].name, { line: i + 1 }), nodes: [h('code', { class: 'found-text' }, file.text[i].trim().slice(0, 200)), h('span', { class: 'quiet' }, `${baseName(report.files[k].name)}:${i + 1}`)] });
        }
      }
    }
    this.draw([['Files', files], ['Functions', functions], ['Lines', lines]], false);
  }

  draw(groups, busy) {
    this.at = -1;
    let n = 0;
    const nodes = groups.filter(([, items]) => items.length).map(([title, items]) => h('div', { role: 'group', 'aria-label': title }, h('div', { class: 'results-head', 'aria-hidden': 'true' }, title),
      items.map((x) => h('a', { class: 'result', role: 'option', id: 'result' + n++, 'aria-selected': 'false', tabindex: -1, href: x.href }, x.nodes))));
    replace(this.list, nodes.length ? nodes : h('div', { class: 'results-head', role: 'option', 'aria-selected': 'false' }, busy ? 'Searching …' : 'Nothing found'));
    this.list.hidden = false;
    this.input.setAttribute('aria-expanded', 'true');
    if (!busy) say(plural(n, 'result'));
  }

  key(event) {
    const items = [...this.list.querySelectorAll('.result')];
    if (event.key === 'Escape') {
      this.input.value = '';
      this.close();
      this.input.blur();
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (!items.length) return;
      this.at = (this.at + (event.key === 'ArrowDown' ? 1 : this.at < 0 ? 0 : -1) + items.length) % items.length;
      items.forEach((x, i) => x.setAttribute('aria-selected', String(i === this.at)));
      items[this.at].scrollIntoView({ block: 'nearest' });
      this.input.setAttribute('aria-activedescendant', items[this.at].id);
    } else if (event.key === 'Enter' && items.length) {
      const href = items[Math.max(0, this.at)].getAttribute('href');
      this.close();
      this.input.blur();
      visit(href);
    }
  }
}
