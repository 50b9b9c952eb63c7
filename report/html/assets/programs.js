// What each kernel's verifier said to each program, and what it cost.

const COSTS = { verified: 'verified instructions', insns: 'instructions', xlated: 'bytes after rewriting', jited: 'bytes of machine code', loads: 'loads' };
const VERDICTS = { ok: [HIT, 'accepted'], rejected: [REJECTED, 'refused'], unknown: [NOT_RUN, 'unknown'] };

// byProgram joins the rows of all cells by name and type: one row a program, with the loads of each cell.
function byProgram(data) {
  const rows = new Map();
  data.cells.forEach((programs, cell) => {
    for (const p of programs) {
      const key = JSON.stringify([p.name, p.type]);
      if (!rows.has(key)) rows.set(key, { name: p.name, type: p.type, cells: report.cells.map(() => []) });
      rows.get(key).cells[cell].push(p);
    }
  });
  return [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.type < b.type ? -1 : 1));
}

// worst is the verdict that one mark stands for.
function worst(loads) {
  return ['rejected', 'unknown', 'ok'].find((v) => loads.some((p) => p.verdict === v));
}

// refusal is "helper: EINVAL: unknown func bpf_loop#181", or empty.
function refusal(p) {
  return [p.class, p.errno, p.reason].filter(Boolean).join(': ');
}

function programStrip(row, cost) {
  const statuses = row.cells.map((loads, i) => (loads.length ? VERDICTS[worst(loads)][0] : report.cells[i].ran ? NOT_BUILT : NOT_RUN));
  const svg = strip(statuses);
  svg.setAttribute('tabindex', 0);
  svg.setAttribute('aria-label', `${row.name}: ` + ['ok', 'rejected'].map((v) => `${VERDICTS[v][1]} on ${row.cells.filter((l) => l.length && worst(l) === v).length}`).join(', '));
  return explain(svg, (i) => {
    const loads = row.cells[i];
    if (!loads.length) return { status: statuses[i], word: 'no load', note: '' };
    const p = loads.find((x) => x.verdict === worst(loads));
    return { status: statuses[i], word: VERDICTS[p.verdict][1], note: refusal(p) || `${formatCount(p[cost])} ${COSTS[cost]}` };
  });
}

// toEnd shows the end of a log: there the verifier says why.
function toEnd(details) {
  const pre = details.querySelector('pre');
  pre.scrollTop = pre.scrollHeight;
}

// programDetail lists the loads of one program, cell by cell, with the verifier's logs.
function programDetail(data, row) {
  const logs = [];
  const body = row.cells.flatMap((loads, i) => loads.map((p) => {
    if (p.log || p.reason) logs.push([i, p]);
    return h('tr', null, h('th', { scope: 'row' }, report.cells[i].name), h('td', null, badge(...VERDICTS[p.verdict]), p.errno ? h('code', { class: 'errno' }, p.errno) : null),
      ['loads', 'insns', 'verified', 'xlated', 'jited'].map((k) => h('td', { class: 'num' }, p[k] ? formatCount(p[k]) : '')), h('td', { class: 'quiet' }, p.objects.join(', ')));
  }));
  return h('div', { class: 'program-detail' },
    logs.map(([i, p]) => h('details', { class: 'log', open: logs.length <= 2, on: { toggle: (event) => toEnd(event.target) } }, h('summary', null, h('b', null, report.cells[i].name), ' ', h('code', null, refusal(p))),
      h('pre', { tabindex: 0 }, data.logs[p.log] || 'The loader asked for no log, or the kernel wrote none.'))),
    h('table', { class: 'list small' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Kernel'), h('th', { scope: 'col' }, 'Verdict'), h('th', { scope: 'col', class: 'num' }, 'Loads'),
      h('th', { scope: 'col', class: 'num' }, 'Instructions'), h('th', { scope: 'col', class: 'num' }, 'Verified'), h('th', { scope: 'col', class: 'num' }, 'Rewritten, bytes'), h('th', { scope: 'col', class: 'num' }, 'JITed, bytes'),
      h('th', { scope: 'col' }, 'Object'))), h('tbody', null, body)));
}

page('programs', {
  title: 'Programs', nav: 'programs',
  show(root, route) {
    replace(root, h('p', { class: 'notice' }, 'Loading the verdicts …'));
    load('programs').then((data) => {
      if (shown.name !== 'programs') return;
      const all = byProgram(data), wide = report.cells.length <= 10;
      const body = h('tbody'), foot = h('div', { class: 'more' }), count = h('span', { class: 'quiet' });
      const input = h('input', { id: 'prog', type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'name or type', on: { input: () => change() } });
      const cost = h('select', { id: 'cost', on: { change: () => change() } }, Object.entries(COSTS).map(([k, text]) => h('option', { value: k }, text)));
      const refused = h('input', { id: 'refused', type: 'checkbox', on: { change: () => change() } });
      const heads = h('tr');
      let open = route.params.get('open') || '';
      const change = () => {
        visit(address('programs', '', { q: input.value, cost: cost.value === 'verified' ? '' : cost.value, refused: refused.checked ? 1 : '', open }), true);
        draw();
      };
      const draw = () => {
        const q = input.value.toLowerCase(), k = cost.value;
        const rows = all.filter((r) => (!q || (r.name + ' ' + r.type).toLowerCase().includes(q)) && (!refused.checked || r.cells.some((l) => l.some((p) => p.verdict === 'rejected'))));
        count.textContent = plural(rows.length, 'program');
        replace(heads, h('th', { scope: 'col' }, 'Program'), h('th', { scope: 'col' }, 'Type'), h('th', { scope: 'col' }, stripHead()),
          wide ? report.cells.map((c) => h('th', { scope: 'col', class: 'num two' }, c.version, h('span', { class: 'arch' }, c.arch)))
            : ['least', 'median', 'most'].map((x) => h('th', { scope: 'col', class: 'num' }, x)));
        more(body, foot, rows, (r) => {
          const id = r.name + ' ' + r.type, isOpen = open === id;
          const values = r.cells.map((loads) => Math.max(0, ...loads.map((p) => p[k])));
          const sorted = values.filter((v, i) => v > 0 && r.cells[i].length).sort((a, b) => a - b);
          const most = sorted[sorted.length - 1] || 1;
          const row = h('tr', { class: isOpen ? 'open' : null },
            h('th', { scope: 'row' }, h('button', { type: 'button', class: 'expand', 'aria-expanded': String(isOpen), on: { click: () => {
              open = isOpen ? '' : id;
              change();
              const again = [...body.querySelectorAll('.expand')].find((b) => b.textContent === r.name);
              if (again) again.focus();
            } } }, h('code', null, r.name))),
            h('td', { class: 'quiet' }, r.type), h('td', null, programStrip(r, k)),
            wide ? r.cells.map((loads, i) => h('td', { class: 'num cost' }, loads.length === 0 ? h('span', { class: 'quiet' }, '–')
              : worst(loads) === 'rejected' ? h('span', { class: 'bad', 'data-tip': refusal(loads[0]) }, loads[0].errno || 'refused')
              : values[i] ? [formatCount(values[i]), meter(values[i], most)] : ''))
              : [sorted[0], sorted[sorted.length >> 1], sorted[sorted.length - 1]].map((v) => h('td', { class: 'num' }, v === undefined ? '' : formatCount(v))));
          return isOpen ? [row, h('tr', { class: 'opened' }, h('td', { colspan: 3 + (wide ? report.cells.length : 3) }, programDetail(data, r)))] : [row];
        });
      };
      replace(root, h('div', { class: 'section-head' }, h('h1', null, 'Programs and what the verifier said'), h('ul', { class: 'legend' }, h('li', null, badge(HIT, 'accepted')), h('li', null, badge(REJECTED, 'refused')), h('li', null, badge(NOT_BUILT, 'no load')))),
        h('div', { class: 'toolbar' }, h('label', { for: 'prog' }, h('span', null, 'Find'), input), h('label', { for: 'cost' }, h('span', null, 'Figure'), cost),
          h('label', { class: 'check', for: 'refused' }, refused, h('span', null, 'refused only')), count),
        h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Programs' }, h('table', { class: 'list' }, h('thead', null, heads), body)), foot);
      input.value = route.params.get('q') || '';
      cost.value = COSTS[route.params.get('cost')] ? route.params.get('cost') : 'verified';
      refused.checked = Boolean(route.params.get('refused'));
      draw();
    }).catch((error) => failed(root, error));
  },
});
