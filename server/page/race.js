// The race: the same prompt and seed, dense beside a sparse mode.
import { fillSelect, find, make, numbers, showError } from './elements.js';
import { duration, percent, rate } from './format.js';
import { generate, Tally } from './generate.js';
import { TokenView } from './tokens.js';

const form = find('#start');
const verdict = find('#verdict');
let running = null;

// One lane's heading, progress and text.
function makeLane(name, mode, limit) {
  const figures = make('span', { class: 'hint', text: 'waiting' });
  const progress = make('progress', { max: limit, value: 0, 'aria-label': `Tokens of ${mode}` });
  const view = new TokenView();
  find(`[data-lane="${name}"]`).replaceChildren(
    make('h2', {}, make('span', { text: mode }), figures), progress, view.element);
  return { name, mode, figures, progress, view, tally: new Tally() };
}

function show(lane) {
  const { tally } = lane;
  lane.progress.value = tally.count;
  lane.figures.textContent = `${rate(tally.speed)} tokens/s, first token ${duration(tally.first / 1e3)}, ${percent(tally.share)} of the weights`;
}

async function runLane(lane, request, signal) {
  // A salt of its own: the second lane must not find the first one's prompt in the prefix cache.
  const fields = { ...request, cache_salt: crypto.getRandomValues(new Uint32Array(2)).join('-'), sparsity: { mode: lane.mode } };
  for await (const token of generate('v1/completions', fields, signal)) {
    lane.view.add(token);
    lane.tally.add(token);
    show(lane);
  }
  lane.progress.value = lane.progress.max;
}

// The first place where the texts part; -1: they are the same.
function firstDifference(a, b) {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; ++i) if (a[i]?.text !== b[i]?.text) return i;
  return -1;
}

function judge(dense, rival) {
  const at = firstDifference(dense.view.tokens, rival.view.tokens);
  const times = rival.tally.speed / dense.tally.speed;
  const speed = Number.isFinite(times) ? `${rival.mode} ran at ${times.toFixed(2)} times the speed of dense. ` : '';
  if (at < 0) {
    verdict.textContent = `${speed}The same text: ${dense.tally.count} tokens, no difference.`;
    return;
  }
  verdict.textContent = `${speed}The first differing token is number ${at + 1}.`;
  for (const lane of [dense, rival]) lane.view.markDifference(at);
}

function setRunning(controller) {
  running = controller;
  find('[type="submit"]', form).disabled = controller !== null;
  find('#race-stop').disabled = controller === null;
}

async function race() {
  const request = numbers(form, ['max_tokens', 'temperature', 'seed']);
  request.prompt = form.elements.prompt.value;
  verdict.textContent = '';
  showError(find('.error', form), null);
  const dense = makeLane('dense', 'dense', request.max_tokens);
  const rival = makeLane('rival', form.elements.rival.value, request.max_tokens);
  setRunning(new AbortController());
  try {
    for (const lane of [dense, rival]) await runLane(lane, request, running.signal);
    judge(dense, rival);
  } catch (error) {
    showError(find('.error', form), error);
  } finally {
    setRunning(null);
  }
}

export function startRace() {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (running === null) race();
  });
  find('#race-stop').addEventListener('click', () => running?.abort());
}

// Dense runs against whatever else the server allows, lookahead first.
export function offerRivals(status) {
  const rivals = ['lookahead', 'threshold', 'exact'].filter((mode) => status.allowed.includes(mode));
  const possible = rivals.length > 0 && status.allowed.includes('dense');
  fillSelect(form.elements.rival, possible ? rivals.map((mode) => [mode, mode]) : [['', 'none']]);
  find('[type="submit"]', form).disabled = !possible;
  if (!possible) showError(find('.error', form), new Error(`A race needs dense and a sparse mode; this server allows ${status.allowed.join(', ')}.`));
}
