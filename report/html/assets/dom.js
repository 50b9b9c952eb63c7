// Elements are made by hand: there is no way from text to markup in this site.

// h makes an HTML element. Properties: "class", "on" (an object of listeners), "data" (dataset); all others are attributes, and those
// that are null, undefined or false are left out. Children are nodes, texts, or lists of them.
function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

// s makes an SVG element.
function s(tag, props, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === 'data') {
      Object.assign(node.dataset, value);
    } else {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

function byID(id) {
  return document.getElementById(id);
}

// replace gives a node new children.
function replace(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
}

// say tells a screen reader.
function say(text) {
  byID('live').textContent = text;
}

function plural(n, one, many) {
  return `${formatCount(n)} ${n === 1 ? one : many || one + 's'}`;
}

// formatCount groups digits. A count above 2^53 comes as text.
function formatCount(n) {
  return (typeof n === 'string' ? BigInt(n) : n).toLocaleString('en-US');
}

// shortCount has at most five characters.
function shortCount(n) {
  n = Number(n);
  if (n < 10000) return String(n);
  const units = ['k', 'M', 'G', 'T', 'P', 'E'];
  let i = -1;
  do {
    n /= 1000;
    i++;
  } while (n >= 1000 && i < units.length - 1);
  return (n < 10 ? Math.floor(n * 10) / 10 : Math.floor(n)) + units[i];
}

// percent is cut, not rounded: 100% is only what is whole, 0.0% only what is empty.
function percent(hit, total) {
  if (total <= 0) return '–';
  if (hit >= total) return '100%';
  const p = Math.floor((1000 * hit) / total) / 10;
  return (hit > 0 ? Math.max(0.1, p) : 0).toFixed(1) + '%';
}

function seconds(ms) {
  if (ms < 1000) return ms + ' ms';
  if (ms < 60000) return (ms / 1000).toFixed(1) + ' s';
  return Math.floor(ms / 60000) + ' m ' + String(Math.floor((ms % 60000) / 1000)).padStart(2, '0') + ' s';
}

function baseName(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}
