// Pages are named by the fragment, so that every view has an address that can be passed on:
//   #/file/bpf/probe.bpf.c?line=12&show=missing&cell=6.1-amd64

const pages = new Map(); // name to {title, nav, show(root, route), update(route)}

function page(name, p) {
  pages.set(name, p);
}

// parseRoute takes the fragment apart.
function parseRoute(hash) {
  const text = hash.replace(/^#\/?/, '');
  const mark = text.indexOf('?');
  const path = mark < 0 ? text : text.slice(0, mark);
  const slash = path.indexOf('/');
  let rest = slash < 0 ? '' : path.slice(slash + 1);
  try {
    rest = decodeURIComponent(rest);
  } catch {
    // A fragment that somebody typed; it names no file then.
  }
  return { name: (slash < 0 ? path : path.slice(0, slash)) || 'matrix', rest, params: new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1)) };
}

// address is the opposite. Parameters that are empty are left out.
function address(name, rest, params) {
  let text = '#/' + (name === 'matrix' ? '' : name);
  if (rest) text += '/' + rest.split('/').map(encodeURIComponent).join('/');
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params || {})) if (v !== '' && v !== null && v !== undefined) q.set(k, v);
  const query = q.toString();
  return query ? text + '?' + query : text;
}

// fileAddress is a place in a source.
function fileAddress(name, params) {
  return address('file', name, params);
}

let shown = null; // the route that is on screen

// visit shows an address; with silent it only takes it over into the location, without another entry in the history.
function visit(hash, silent) {
  if (silent) {
    shown = parseRoute(hash);
    history.replaceState(null, '', hash);
  } else if (location.hash === hash) {
    show();
  } else {
    location.hash = hash;
  }
}

// show draws what the location asks for.
function show() {
  if (location.hash && !location.hash.startsWith('#/')) return; // the skip link
  const route = parseRoute(location.hash);
  const p = pages.get(route.name) || pages.get('matrix');
  const root = byID('main');
  hideTip();
  if (shown && shown.name === route.name && shown.rest === route.rest && p.update) {
    shown = route;
    p.update(route);
    return;
  }
  const first = !shown;
  shown = route;
  root.className = 'page-' + (pages.has(route.name) ? route.name : 'matrix');
  document.title = [p.heading ? p.heading(route) : p.title, report.title, 'bpfcov'].filter(Boolean).join(' · ');
  for (const a of document.querySelectorAll('.nav a')) {
    if (a.dataset.page === p.nav) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  window.scrollTo(0, 0);
  p.show(root, route);
  if (!first) root.focus({ preventScroll: true });
}

// failed tells why a page cannot be shown.
function failed(root, error) {
  replace(root, h('p', { class: 'notice error', role: 'alert' }, String((error && error.message) || error)));
}
