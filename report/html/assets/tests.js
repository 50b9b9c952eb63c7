// What ran in each cell, case by case, and how runs ended.

const CASE = { passed: HIT, failed: REJECTED, skipped: ELIMINATED };

// byCase joins the cases of all cells by test and name, in the order in which they were first seen.
function byCase(data) {
  const rows = new Map();
  data.cells.forEach((runs, cell) => {
    for (const run of runs) {
      // A run that names no cases is one itself; a kernel that did not boot says nothing about its tests.
      const own = run.outcome === 'boot-failed' ? [] : [{ name: '', outcome: run.outcome, ms: run.ms, message: run.reason }];
      for (const c of run.cases.length ? run.cases : own) {
        const key = JSON.stringify([run.test, c.name]);
        if (!rows.has(key)) rows.set(key, { test: run.test, name: c.name, cells: report.cells.map(() => null) });
        const row = rows.get(key);
        if (!row.cells[cell] || c.outcome === 'failed') row.cells[cell] = c;
      }
    }
  });
  return [...rows.values()];
}

function caseStatus(c) {
  return c ? (CASE[c.outcome] === undefined ? REJECTED : CASE[c.outcome]) : NOT_RUN;
}

function caseStrip(row) {
  const statuses = row.cells.map(caseStatus);
  const svg = strip(statuses);
  svg.setAttribute('tabindex', 0);
  svg.setAttribute('aria-label', ['passed', 'failed', 'skipped'].map((o) => `${o} on ${row.cells.filter((c) => c && c.outcome === o).length}`).join(', '));
  return explain(svg, (i) => {
    const c = row.cells[i];
    return c ? { status: statuses[i], word: c.outcome, note: [seconds(c.ms), c.message].filter(Boolean).join(' · ') } : { status: NOT_RUN, word: 'did not run', note: report.cells[i].failure || '' };
  });
}

// caseMessages lists what cells said about a case, equal ones together.
function caseMessages(row) {
  const groups = new Map();
  row.cells.forEach((c, i) => {
    if (!c || !c.message || c.outcome === 'passed') return;
    const key = c.outcome + '\n' + c.message;
    if (!groups.has(key)) groups.set(key, { outcome: c.outcome, message: c.message, cells: [] });
    groups.get(key).cells.push(i);
  });
  return [...groups.values()].map((g) => h('div', { class: 'message' }, outcome(g.outcome), ' ', h('span', { class: 'quiet' }, cellWords(g.cells)), g.message.trim().includes('\n') ? h('pre', { tabindex: 0 }, g.message.trim()) : h('code', null, g.message.trim())));
}

// runTable lists the runs, with what went wrong.
function runTable(data) {
  const rows = data.cells.flatMap((runs, i) => runs.map((run) => h('tr', null,
    h('th', { scope: 'row' }, report.cells[i].name), h('td', null, run.test), h('td', null, outcome(run.outcome), run.partial ? h('span', { class: 'quiet' }, ' cut off') : null),
    h('td', { class: 'num' }, seconds(run.ms)), h('td', { class: 'num' }, run.boot ? seconds(run.boot) : ''), h('td', { class: 'num' }, run.loads || ''),
    h('td', null, run.reason ? h('div', { class: 'reason' }, run.reason + (run.signal ? ` (signal ${run.signal})` : '')) : null,
      run.console && run.console.length ? h('details', { class: 'log' }, h('summary', null, 'Console'), h('pre', { tabindex: 0 }, run.console.join('\n'))) : null))));
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Runs' }, h('table', { class: 'list' }, h('thead', null, h('tr', null, ['Kernel', 'Test', 'Result'].map((t) => h('th', { scope: 'col' }, t)),
    ['Time', 'Boot', 'Program loads'].map((t) => h('th', { scope: 'col', class: 'num' }, t)), h('th', { scope: 'col' }, 'Reason'))), h('tbody', null, rows)));
}

page('tests', {
  title: 'Tests', nav: 'tests',
  show(root, route) {
    replace(root, h('p', { class: 'notice' }, 'Loading the tests …'));
    load('tests').then((data) => {
      if (shown.name !== 'tests') return;
      const all = byCase(data);
      const body = h('tbody'), foot = h('div', { class: 'more' }), count = h('span', { class: 'quiet' });
      const input = h('input', { id: 'test', type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'name', on: { input: () => change() } });
      const only = h('select', { id: 'only', on: { change: () => change() } }, [['', 'all'], ['failed', 'failed somewhere'], ['skipped', 'skipped somewhere'], ['differs', 'differs between kernels']].map(([v, t]) => h('option', { value: v }, t)));
      const change = () => {
        visit(address('tests', '', { q: input.value, only: only.value }), true);
        draw();
      };
      const draw = () => {
        const q = input.value.toLowerCase();
        const rows = all.filter((r) => (!q || (r.test + ' ' + r.name).toLowerCase().includes(q)) && (only.value === '' ? true
          : only.value === 'differs' ? new Set(r.cells.filter(Boolean).map((c) => c.outcome)).size > 1 : r.cells.some((c) => c && (c.outcome === only.value || (only.value === 'failed' && caseStatus(c) === REJECTED)))));
        count.textContent = plural(rows.length, 'test');
        more(body, foot, rows, (r) => {
          const slash = r.name.lastIndexOf('/') + 1;
          const times = r.cells.filter(Boolean).map((c) => c.ms);
          const messages = caseMessages(r);
          return [h('tr', { class: messages.length ? 'with-message' : null }, h('th', { scope: 'row' }, h('span', { class: 'quiet' }, r.name.slice(0, slash)), r.name.slice(slash) || r.test), h('td', { class: 'quiet' }, r.test), h('td', null, caseStrip(r)),
            h('td', { class: 'num' }, ['passed', 'failed', 'skipped'].map((o) => [o, r.cells.filter((c) => c && (o === 'failed' ? caseStatus(c) === REJECTED : c.outcome === o)).length]).filter(([, n]) => n)
              .map(([o, n], i) => [i ? ', ' : '', h('span', { class: o === 'failed' ? 'bad' : o === 'skipped' ? 'quiet' : null }, `${n} ${o}`)])),
            h('td', { class: 'num' }, times.length ? seconds(Math.max(...times)) : '')),
          messages.length ? h('tr', { class: 'opened' }, h('td', { colspan: 5 }, messages)) : null];
        });
      };
      replace(root, h('div', { class: 'section-head' }, h('h1', null, 'Tests by kernel'), h('ul', { class: 'legend' }, h('li', null, badge(HIT, 'passed')), h('li', null, badge(REJECTED, 'failed')), h('li', null, badge(ELIMINATED, 'skipped')), h('li', null, badge(NOT_RUN, 'did not run')))),
        h('div', { class: 'toolbar' }, h('label', { for: 'test' }, h('span', null, 'Find'), input), h('label', { for: 'only' }, h('span', null, 'Show'), only), count),
        h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Tests' }, h('table', { class: 'list' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Case'), h('th', { scope: 'col' }, 'Test'), h('th', { scope: 'col' }, stripHead()),
          h('th', { scope: 'col', class: 'num' }, 'Result'), h('th', { scope: 'col', class: 'num' }, 'Longest'))), body)), foot,
        h('h2', null, 'Runs'), runTable(data));
      input.value = route.params.get('q') || '';
      only.value = route.params.get('only') || '';
      draw();
    }).catch((error) => failed(root, error));
  },
});
