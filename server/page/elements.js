// Small helpers to make and find elements.

// make('p', { class: 'hint', text: 'hello' }, child, …); attributes as they are written in HTML.
export function make(tag, attributes = {}, ...children) {
  const { text, ...rest } = attributes;
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(rest)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

export const find = (selector, within = document) => within.querySelector(selector);

// The message of an error at its place in the view; none hides it. What was aborted is no error.
export function showError(place, error) {
  const shown = error && error.name !== 'AbortError';
  place.hidden = !shown;
  if (shown) place.textContent = error.param ? `${error.message} (${error.param})` : error.message;
}

// A form's filled-in numbers, by name; an empty field is left to the server.
export function numbers(form, names) {
  const out = {};
  for (const name of names) {
    const value = form.elements[name].value;
    if (value !== '') out[name] = Number(value);
  }
  return out;
}

export function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make('option', { value, text })));
}
