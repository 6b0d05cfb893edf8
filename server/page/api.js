// Calls to the daemon that served the page. Paths are relative, so that a path prefix stays.

export class ApiError extends Error {
  constructor(status, { message, type, param, code } = {}) {
    super(message || `The server answered with status ${status}.`);
    Object.assign(this, { status, type, param, code });
  }
}

const STORE = 'dejavu-key';
let key = sessionStorage.getItem(STORE) ?? '';
let ask = async () => null;
let asking = null;

// `askForKey(refused)` resolves to a key, or to null when the user has none.
export function setKeyPrompt(askForKey) { ask = askForKey; }

// However many calls miss the key, it is asked for once.
function newKey(used) {
  if (used !== key) return Promise.resolve(key);
  asking ??= ask(key !== '').then((given) => {
    if (given !== null) {
      key = given;
      sessionStorage.setItem(STORE, key);
    }
    return given;
  }).finally(() => { asking = null; });
  return asking;
}

// The response of a call that succeeded; throws ApiError otherwise.
export async function call(path, { body, accept, signal } = {}) {
  for (;;) {
    const used = key;
    const headers = {};
    if (used) headers.Authorization = `Bearer ${used}`;
    if (accept) headers.Accept = accept;
    if (body) headers['Content-Type'] = 'application/json';
    const response = await fetch(path, {
      method: body ? 'POST' : 'GET',
      body: body && JSON.stringify(body),
      headers,
      signal,
      cache: 'no-store',
    });
    if (response.ok) return response;
    const error = (await response.json().catch(() => ({}))).error;
    if (response.status !== 401 || await newKey(used) === null) {
      throw new ApiError(response.status, error);
    }
  }
}

export async function getJson(path) { return (await call(path)).json(); }

// The lines of a streamed body, as they come.
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split('\n');
      rest = parts.pop();
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// The objects of a stream of server-sent events, up to [DONE].
export async function* events(response) {
  let failed = false;
  for await (const line of lines(response)) {
    if (line.startsWith('event:')) failed = line.slice(6).trim() === 'error';
    if (!line.startsWith('data:')) continue;
    const data = line.slice(5).trim();
    if (data === '[DONE]') return;
    const object = JSON.parse(data);
    if (failed || object.error) throw new ApiError(200, object.error);
    yield object;
  }
  throw new ApiError(200, { message: 'The connection ended before the answer did.' });
}
