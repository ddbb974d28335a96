// Makes the demo page's links into requests whose fate is shown in
// place. Everything here works on what any visitor's browser can see:
// response fields and the Resource Timing API.

const byId = (id) => document.getElementById(id);

const maxEntries = 40; // lines kept in the log
const maxPreview = 4000; // characters of a body that are shown

// Requests made here skip the browser's own cache: it would answer in
// the edge's place.
const uncached = { cache: 'no-store', credentials: 'same-origin' };

// parts splits a structured field at a separator outside of quotes.
function parts(text, separator) {
  const out = [];
  let part = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '\\' && quoted) part += c + text[++i];
    else if (c === separator && !quoted) { out.push(part.trim()); part = ''; }
    else { if (c === '"') quoted = !quoted; part += c; }
  }
  out.push(part.trim());
  return out;
}

// outcome turns Cache-Status (RFC 9211) into one word. The last member is
// the cache nearest to the visitor.
function outcome(headers) {
  const field = headers.get('cache-status');
  if (!field) return { word: 'direct', why: 'no Cache-Status: no edge in between' };
  const [, ...params] = parts(parts(field, ',').at(-1), ';');
  const has = new Map(params.map((p) => {
    const at = p.indexOf('=');
    return at < 0 ? [p, true] : [p.slice(0, at), p.slice(at + 1)];
  }));
  let word = 'pass';
  if (has.has('hit')) word = Number(has.get('ttl')) < 0 ? 'stale' : 'hit';
  else if (has.has('collapsed')) word = 'coalesced';
  else if (has.get('fwd') === 'stale' && has.get('fwd-status') === '304') word = 'revalidated';
  else if (['miss', 'uri-miss', 'vary-miss', 'stale', 'partial'].includes(has.get('fwd')) && !headers.get('cache-control')?.includes('no-store')) word = 'miss';
  return { word, why: field, ttl: has.get('ttl') };
}

const protocols = { h3: 'HTTP/3', h2: 'HTTP/2', 'http/1.1': 'HTTP/1.1', 'http/1.0': 'HTTP/1.0' };
const protocolName = (alpn) => protocols[alpn] || alpn || '';
const ms = (n) => (n < 10 ? n.toFixed(1) : Math.round(n)) + ' ms';
const seconds = (n) => (n === null ? '' : n + ' s');

// ask makes a request, reads its body and says how it went.
async function ask(path, init = {}) {
  const url = new URL(path, location.href).href;
  const began = performance.now();
  const response = await fetch(url, { ...uncached, ...init });
  const body = new Uint8Array(await response.arrayBuffer());
  const timing = performance.getEntriesByName(url, 'resource').at(-1);
  const first = timing && timing.responseStart > 0 ? timing.responseStart - timing.startTime : null;
  return {
    response, body, first,
    took: performance.now() - began,
    protocol: protocolName(timing && timing.nextHopProtocol),
    ...outcome(response.headers),
  };
}

function element(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// preview shows a body as text when it is one.
function preview(body, kind) {
  if (!/json|text|javascript|svg/.test(kind || '')) return body.length ? `(${body.length.toLocaleString('en')} bytes)` : '';
  const text = new TextDecoder().decode(body.subarray(0, maxPreview));
  if (!kind.includes('json')) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

// note puts a line at the top of the log and returns the means to change it.
function note(what) {
  const title = element('span', 'what', what);
  const word = element('span', 'word', '…');
  const how = element('span', 'how', 'waiting');
  const more = element('pre', '');
  const list = byId('log');
  list.prepend(element('li', '', element('details', '', element('summary', '', title, word, how), more)));
  while (list.children.length > maxEntries) list.lastChild.remove();
  byId('log-empty').hidden = true;
  return {
    set(w, h, m) {
      word.textContent = w;
      word.className = 'word ' + w;
      how.textContent = h.filter(Boolean).join(' · ');
      more.textContent = m;
    },
    failed(error) { this.set('failed', [error.message || String(error)], ''); },
  };
}

function describe(entry, seen, extra = []) {
  const { response } = seen;
  const age = response.headers.get('age');
  const fields = [...response.headers].map(([k, v]) => `${k}: ${v}`).join('\n');
  entry.set(seen.word, [
    String(response.status), age !== null && 'age ' + seconds(age), seen.protocol, ms(seen.took), ...extra,
  ], fields + '\n\n' + preview(seen.body, response.headers.get('content-type')));
}

async function tryPath(path, init, title) {
  const entry = note(title || `${(init && init.method) || 'GET'} ${path}`);
  try {
    const seen = await ask(path, init);
    describe(entry, seen);
    return seen;
  } catch (error) {
    entry.failed(error);
    return null;
  }
}

// burst asks twenty times at once for something that nobody has yet.
async function burst() {
  const path = `/slow?ms=800&ttl=5&n=${Date.now()}`;
  const entry = note('20 × GET /slow?ttl=5');
  const began = performance.now();
  try {
    const all = await Promise.all(Array.from({ length: 20 }, () => ask(path)));
    const words = new Map();
    const answers = new Set();
    for (const seen of all) {
      words.set(seen.word, (words.get(seen.word) || 0) + 1);
      answers.add(JSON.parse(new TextDecoder().decode(seen.body)).answer);
    }
    const most = [...words].sort((a, b) => b[1] - a[1])[0][0];
    const asked = answers.size === 1 ? 'the origin was asked once' : `the origin was asked ${answers.size} times`;
    entry.set(most, [asked, ms(performance.now() - began)], [...words].map(([w, n]) => `${n} × ${w}`).join('\n'));
  } catch (error) {
    entry.failed(error);
  }
}

async function conditional() {
  const first = await ask('/json').catch(() => null);
  const tag = first && first.response.headers.get('etag');
  await tryPath('/json', tag ? { headers: { 'If-None-Match': tag } } : {}, 'GET /json if changed');
}

async function upload() {
  const body = new Uint8Array(256 * 1024);
  for (let at = 0; at < body.length; at += 65536) crypto.getRandomValues(body.subarray(at, at + 65536));
  const entry = note('POST /upload, 256 KiB');
  try {
    const seen = await ask('/upload', { method: 'POST', body, headers: { 'Content-Type': 'application/octet-stream' } });
    describe(entry, seen, [await digestAgrees(body, seen.body)]);
  } catch (error) {
    entry.failed(error);
  }
}

// digestAgrees compares what was sent with what the origin got. Browsers
// have SHA-256 in secure contexts only.
async function digestAgrees(sent, answer) {
  if (!crypto.subtle) return '';
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', sent));
  const hex = [...sum].map((b) => b.toString(16).padStart(2, '0')).join('');
  return JSON.parse(new TextDecoder().decode(answer)).sha256 === hex ? 'digest agrees' : 'digest differs';
}

function socket() {
  const entry = note('WebSocket /ws');
  const trips = [];
  let sent = 0;
  const s = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws');
  const send = () => { sent = performance.now(); s.send(`message ${trips.length + 1}`); };
  s.onopen = send;
  s.onmessage = () => {
    trips.push(performance.now() - sent);
    entry.set('tunnel', [`${trips.length} of 5 back`, 'fastest ' + ms(Math.min(...trips))], trips.map((t, i) => `${i + 1}: ${ms(t)}`).join('\n'));
    if (trips.length < 5) send(); else s.close(1000);
  };
  s.onerror = () => entry.failed('the socket could not be opened or broke');
}

function events() {
  const entry = note('GET /events?n=5');
  const lines = [];
  const source = new EventSource('/events?n=5');
  const show = (state) => entry.set('pass', [`${lines.length} of 5 events`, state], lines.join('\n'));
  source.onmessage = (e) => { lines.push(e.data); show('streaming'); };
  source.addEventListener('done', () => { source.close(); show('done'); });
  source.onerror = () => { source.close(); entry.failed('the stream broke'); };
}

const actions = {
  burst, conditional, upload, socket, events,
  range: () => tryPath('/bytes/1048576', { headers: { Range: 'bytes=500000-500099' } }, 'GET /bytes/1048576, 100 bytes'),
};

// facts fills the upper part from a HEAD of this very page.
async function facts() {
  const seen = await ask('/', { method: 'HEAD' });
  const h = seen.response.headers;
  const set = (id, text) => { byId(id).textContent = text || '–'; byId(id).title = text || ''; };
  const word = element('span', 'word ' + seen.word, seen.word);
  word.title = seen.why;
  byId('fact-cache').replaceChildren(word);
  set('fact-proto', seen.protocol);
  set('fact-age', seconds(h.get('age')));
  set('fact-ttfb', seen.first !== null && ms(seen.first));
  set('fact-via', h.get('via'));
  set('fact-id', h.get('x-request-id') || await idAtOrigin());

  byId('way-proto').textContent = seen.protocol || 'encrypted';
  const stored = seen.word === 'hit' || seen.word === 'stale';
  byId('leg-origin').classList.toggle('idle', stored);
  byId('way-fill').textContent = stored ? 'not asked' : 'asked';
  byId('way-edge').textContent = { hit: 'had a copy', stale: 'had an old copy', direct: 'not in between' }[seen.word] || 'fetched it';
}

// idAtOrigin asks the origin which request ID it was given.
async function idAtOrigin() {
  const seen = await ask('/headers');
  const { fields } = JSON.parse(new TextDecoder().decode(seen.body));
  return fields.find((f) => f.name.toLowerCase() === 'x-request-id')?.value;
}

document.addEventListener('click', (event) => {
  const target = event.target.closest('.try, .try button');
  if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab is the browser's own business
  const action = target.dataset.do || target.querySelector('[data-do]')?.dataset.do;
  if (action === 'visit') return;
  event.preventDefault();
  // Entries that are never cleared fill the browser's buffer of 250, and
  // then no new ones come.
  performance.clearResourceTimings();
  if (action) actions[action](); else tryPath(target.getAttribute('href'));
});

for (const button of document.querySelectorAll('.js')) button.disabled = false;
facts().catch(() => { byId('fact-cache').textContent = 'not reachable'; });
