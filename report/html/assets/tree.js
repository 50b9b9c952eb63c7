// The tree of files, with the figures of their folders.

// folder is {name, folders: Map, files: [index], hit, total}.
function buildTree() {
  const top = { name: '', folders: new Map(), files: [], hit: 0, total: 0 };
  report.files.forEach((f, index) => {
    const parts = f.name.split('/').filter(Boolean);
    const [hit, total] = f.language ? [0, 0] : f.merged.lines; // the sums are of BPF programs
    let at = top;
    at.hit += hit;
    at.total += total;
    for (const part of parts.slice(0, -1)) {
      if (!at.folders.has(part)) at.folders.set(part, { name: part, folders: new Map(), files: [], hit: 0, total: 0 });
      at = at.folders.get(part);
      at.hit += hit;
      at.total += total;
    }
    at.files.push(index);
  });
  return top;
}

// figure is a percentage with a small bar under it.
function figure(hit, total) {
  return h('span', { class: 'fig' }, percent(hit, total), meter(hit, total));
}

function meter(hit, total) {
  return s('svg', { class: 'meter', viewBox: '0 0 100 4', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    s('rect', { class: 'meter-back', width: 100, height: 4 }), s('rect', { class: 's7', width: total > 0 ? (100 * hit) / total : 0, height: 4 }));
}

// tree draws the whole tree; current is the index of the file on screen.
function tree(current) {
  const list = (node) => {
    const items = [];
    for (let f of node.folders.values()) {
      let name = f.name;
      while (f.folders.size === 1 && f.files.length === 0) {
        f = f.folders.values().next().value;
        name += '/' + f.name;
      }
      items.push(h('li', null, h('details', { open: true },
        h('summary', null, h('span', { class: 'tree-name' }, name + '/'), h('span', { class: 'tree-fig' }, percent(f.hit, f.total))), list(f))));
    }
    for (const i of node.files) {
      const f = report.files[i];
      const [hit, total] = f.merged.lines;
      items.push(h('li', null, h('a', { class: 'tree-file', href: fileAddress(f.name), 'aria-current': i === current ? 'page' : null, title: f.name },
        h('span', { class: 'tree-name' }, baseName(f.name), f.language ? h('span', { class: 'quiet' }, ' user space') : null), figure(hit, total))));
    }
    return h('ul', null, items);
  };
  return h('nav', { class: 'tree', 'aria-label': 'Files' }, list(buildTree()));
}

// fileIndex finds a file by name.
function fileIndex(name) {
  return report.files.findIndex((f) => f.name === name);
}
