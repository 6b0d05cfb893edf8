// The live view, fed by the NDJSON stream of v1/live while it is looked at.
import { call, lines } from './api.js';
import { find, make, showError } from './elements.js';
import { duration, number, percent, rate } from './format.js';
import { HeatMap } from './heatmap.js';
import { Sparkline } from './sparkline.js';

const RETRY_MS = 3000;

// name, title, the value that the line follows, and the text beside it.
const TILES = [
  ['running', 'Sequences running', (s) => s.requests.running, (s) => number(s.requests.running)],
  ['waiting', 'Waiting in the queue', (s) => s.requests.waiting, (s) => number(s.requests.waiting)],
  ['ended', 'Requests completed', (s) => s.requests.completed, (s) => `${number(s.requests.completed)} · ${number(s.requests.failed)} failed`],
  ['speed', 'Tokens/s', (s) => s.tokens.generated_per_second, (s) => rate(s.tokens.generated_per_second)],
  ['kv', 'KV cache', (s) => s.kv.used / s.kv.total, (s) => `${percent(s.kv.total ? s.kv.used / s.kv.total : null)} of ${number(s.kv.total)} pages`],
  ['first', 'First token, p50 · p95', (s) => s.latency.first_token?.p95, (s) => quantiles(s.latency.first_token)],
  ['inter', 'Between tokens, p50 · p95', (s) => s.latency.inter_token?.p95, (s) => quantiles(s.latency.inter_token)],
  ['agreement', 'Agreement with dense', (s) => agreement(s), (s) => percent(agreement(s))],
];

const quantiles = (q) => q ? `${duration(q.p50)} · ${duration(q.p95)}` : '–';

function audits(snapshot) { return snapshot.sparsity?.audits ?? []; }

// 1 - the mean relative error of the audited blocks' outputs.
function agreement(snapshot) {
  const all = audits(snapshot);
  return all.length ? Math.max(0, 1 - all.reduce((sum, audit) => sum + audit.error, 0) / all.length) : null;
}

const view = find('#live');
const places = new Map();
const heat = {};
let listening = null;

function build() {
  for (const [name, title] of TILES) {
    const text = make('dd', { 'data-tile': name, text: '–' });
    const line = new Sparkline();
    find('.tiles', view).append(make('div', {}, make('dt', { text: title }), text, line.element));
    places.set(name, { text, line });
  }
  const read = (text) => { find('#heat-at').textContent = text; };
  heat.mlp = new HeatMap(find('#heat-mlp'), 'MLP density', read);
  heat.heads = new HeatMap(find('#heat-heads'), 'Head density', read);
}

function showAudits(snapshot) {
  const all = audits(snapshot);
  const mean = (name) => all.reduce((sum, audit) => sum + audit[name], 0) / all.length;
  find('#audit-text').textContent = all.length
    ? `Over the last ${all.length} audited tokens: the outputs agree to ${percent(agreement(snapshot))}, the sets hold ${percent(mean('recall'))} of the units that mattered. Last: layer ${all.at(-1).layer}, ${all.at(-1).block}.`
    : 'Nothing was audited yet: the audit looks at tokens computed by lookahead or threshold. Exact approximates nothing.';
}

function show(snapshot) {
  for (const [name, , value, text] of TILES) {
    const place = places.get(name);
    place.text.textContent = text(snapshot);
    place.line.add(value(snapshot));
  }
  const { sparsity } = snapshot;
  if (sparsity) {
    heat.mlp.add(sparsity.mlp);
    heat.heads.add(sparsity.heads);
    if (sparsity.mlp.some((density) => density !== null)) find('#heat-none').hidden = true;
  }
  showAudits(snapshot);
}

async function listen(signal) {
  while (!signal.aborted) {
    try {
      const response = await call('v1/live', { accept: 'application/x-ndjson', signal });
      showError(find('.error', view), null);
      for await (const line of lines(response)) if (line) show(JSON.parse(line));
    } catch (error) {
      if (signal.aborted) return;
      showError(find('.error', view), error);
      if (error.status === 401) return;
    }
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
  }
}

// Listens only while somebody looks.
function update() {
  const watched = !view.hidden && !document.hidden;
  if (watched === (listening !== null)) return;
  if (watched) {
    listening = new AbortController();
    listen(listening.signal);
  } else {
    listening.abort();
    listening = null;
  }
}

export function startLive() {
  build();
  document.addEventListener('visibilitychange', update);
  new MutationObserver(update).observe(view, { attributeFilter: ['hidden'] });
  update();
}
