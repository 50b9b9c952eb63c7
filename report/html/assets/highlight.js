// A small reader of C: comments, strings, numbers, keywords, types and preprocessor lines. It colours and decides nothing.

const KEYWORDS = new Set(('auto break case char const continue default do double else enum extern float for goto if inline int long register return ' +
  'short signed sizeof static struct switch typedef union unsigned void volatile while bool true false NULL __always_inline __noinline SEC').split(' '));
const TYPE = /^(__)?[us](8|16|32|64)$|^(__)?(be|le)(16|32|64)$|_t$/;
const TOKEN = /\/\/.*|\/\*[\s\S]*?(?:\*\/|$)|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\b\d[\w.]*|[A-Za-z_]\w*/g;

// commentStarts tells for each line whether it begins inside of a block comment.
function commentStarts(lines) {
  const out = new Uint8Array(lines.length);
  let inside = false;
  for (let i = 0; i < lines.length; i++) {
    out[i] = inside ? 1 : 0;
    let text = lines[i];
    if (!inside && !text.includes('/*')) continue;
    for (let at = 0; at < text.length; ) {
      if (inside) {
        const end = text.indexOf('*/', at);
        if (end < 0) break;
        inside = false;
        at = end + 2;
        continue;
      }
      TOKEN.lastIndex = at;
      const m = TOKEN.exec(text);
      if (!m) break;
      at = m.index + m[0].length;
      if (m[0].startsWith('/*') && !(m[0].length > 3 && m[0].endsWith('*/'))) inside = true;
    }
  }
  return out;
}

// highlight returns the nodes of one line.
function highlight(text, inComment) {
  const out = [];
  let at = 0;
  const put = (to, cls) => {
    if (to > at) out.push(cls ? h('span', { class: cls }, text.slice(at, to)) : text.slice(at, to));
    at = to;
  };
  if (inComment) {
    const end = text.indexOf('*/');
    put(end < 0 ? text.length : end + 2, 'c-comment');
  }
  if (text.length > 2000) {
    put(text.length); // what somebody generated
    return out;
  }
  const directive = /^\s*#\s*\w+/.exec(text.slice(at));
  if (directive && at === 0) put(directive[0].length, 'c-pre');
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const m = TOKEN.exec(text);
    if (!m) break;
    put(m.index);
    const word = m[0];
    put(m.index + word.length, word.startsWith('//') || word.startsWith('/*') ? 'c-comment' : word[0] === '"' || word[0] === "'" ? 'c-string'
      : word[0] <= '9' ? 'c-number' : KEYWORDS.has(word) || TYPE.test(word) ? 'c-word' : '');
  }
  put(text.length);
  return out;
}
