// The playground: completion and chat, streamed.
import { fillSelect, find, make, numbers, showError } from './elements.js';
import { duration, number, percent, rate } from './format.js';
import { generate, Tally } from './generate.js';
import { inspectInto, TokenView } from './tokens.js';

const form = find('#ask');
const transcript = find('#transcript');
const inspect = inspectInto(find('#inspector'));
let messages = [];  // of the chat so far
let running = null;

function showFigures(tally) {
  const figures = {
    tokens: number(tally.count),
    speed: rate(tally.speed),
    first: tally.first === null ? '–' : duration(tally.first / 1e3),
    share: percent(tally.share),
  };
  for (const [name, text] of Object.entries(figures)) find(`[data-figure="${name}"]`).textContent = text;
}

function showRange([least, most]) {
  find('#least').textContent = percent(least, 1);
  find('#most').textContent = percent(most, 1);
}

function requestOf(chat, prompt) {
  const request = numbers(form, ['max_tokens', 'temperature', 'top_p', 'top_k', 'seed']);
  const { stop, mode, target_recall: recall, ignore_eos: endless } = form.elements;
  if (endless.checked) request.ignore_eos = true;
  if (stop.value) request.stop = [stop.value];
  request.sparsity = {};
  if (mode.value) request.sparsity.mode = mode.value;
  if (!recall.disabled && recall.value) request.sparsity.target_recall = Number(recall.value);
  return chat ? { ...request, messages } : { ...request, prompt };
}

function clear() {
  messages = [];
  transcript.replaceChildren();
  showFigures(new Tally());
  showRange([null, null]);
  showError(find('.error', form), null);
}

function setRunning(controller) {
  running = controller;
  find('[type="submit"]', form).disabled = controller !== null;
  find('#stop').disabled = controller === null;
}

async function run() {
  const chat = form.elements.api.value === 'chat';
  const prompt = form.elements.prompt.value;
  const view = new TokenView(inspect);
  const tally = new Tally();
  showError(find('.error', form), null);
  if (chat) {
    messages.push({ role: 'user', content: prompt });
    transcript.append(make('div', { class: 'turn user', text: prompt }), make('div', { class: 'turn' }, view.element));
  } else {
    clear();
    view.prepend(prompt);
    transcript.append(view.element);
  }
  setRunning(new AbortController());
  try {
    const path = chat ? 'v1/chat/completions' : 'v1/completions';
    for await (const token of generate(path, requestOf(chat, prompt), running.signal)) {
      view.add(token);
      tally.add(token);
      showFigures(tally);
      showRange(view.range);
    }
  } catch (error) {
    showError(find('.error', form), error);
  } finally {
    setRunning(null);
  }
  if (!chat) return;
  if (tally.count > 0) {
    messages.push({ role: 'assistant', content: view.tokens.map((token) => token.text).join('') });
    form.elements.prompt.value = '';
  } else {
    messages.pop();
  }
}

// The levels of the chosen mode.
function showLevels(levels) {
  const { mode, target_recall: select } = form.elements;
  const own = levels[mode.value] ?? [];
  fillSelect(select, [['', own.length ? 'default' : 'none'], ...own.map((level) => [level, level])]);
  select.disabled = own.length === 0;
}

export function startPlayground() {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (running === null) run();
  });
  form.elements.prompt.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  find('#stop').addEventListener('click', () => running?.abort());
  find('#clear').addEventListener('click', () => { running?.abort(); clear(); });
  for (const radio of form.elements.api) radio.addEventListener('change', clear);
  find('#parameters').open = matchMedia('(min-width: 801px)').matches;
}

export function offerModes(status) {
  const { mode } = form.elements;
  fillSelect(mode, [['', `default (${status.mode})`], ...status.allowed.map((name) => [name, name])]);
  mode.addEventListener('change', () => showLevels(status.levels));
  showLevels(status.levels);
}
