// Generated text, every token shaded by the share of the model that it read. One stop for Tab; the
// arrow keys go from token to token.
import { make } from './elements.js';
import { percent } from './format.js';

export class TokenView {
  #tokens = [];
  #spans = [];
  #current = -1;
  #least = 1;  // share of the model, of the tokens that were not dense
  #most = 0;

  // `inspect(token)` shows one token; called for what is hovered or walked to.
  constructor(inspect = () => {}) {
    this.inspect = inspect;
    this.element = make('div', {
      class: 'tokens', tabindex: '0', role: 'group', 'aria-label': 'Generated text; arrow keys go through its tokens',
    });
    this.element.addEventListener('pointerover', (event) => this.#select(this.#spans.indexOf(event.target)));
    this.element.addEventListener('focus', () => this.#select(this.#current < 0 ? 0 : this.#current));
    this.element.addEventListener('keydown', (event) => this.#walk(event));
  }

  get tokens() { return this.#tokens; }
  get range() { return this.#least <= this.#most ? [this.#least, this.#most] : [null, null]; }

  // What comes before the tokens, unshaded.
  prepend(text) { this.element.prepend(make('span', { class: 'prompt-text', text })); }

  add(token) {
    const span = make('span', { class: 'token', text: token.text });
    span.classList.toggle('dense', token.layers === null);
    span.classList.toggle('audited', token.audit !== null);
    span.style.setProperty('--share', token.share);
    if (token.layers) this.#widen(token.share);
    this.#tokens.push(token);
    this.#spans.push(span);
    this.element.append(span);
  }

  // The shades go from the least share to the most.
  #widen(share) {
    this.#least = Math.min(this.#least, share);
    this.#most = Math.max(this.#most, share);
    this.element.style.setProperty('--least', this.#least);
    this.element.style.setProperty('--most', Math.max(this.#most, this.#least + 0.001));
  }

  markDifference(index) { this.#spans[index]?.classList.add('differs'); }

  #select(index) {
    const token = this.#tokens[index];
    if (!token) return;
    this.#spans[this.#current]?.classList.remove('current');
    this.#current = index;
    this.#spans[index].classList.add('current');
    this.inspect(token);
  }

  #walk(event) {
    const last = this.#tokens.length - 1;
    const to = {
      ArrowRight: this.#current + 1, ArrowLeft: this.#current - 1, Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#select(Math.max(0, Math.min(last, to)));
  }
}

function bar(share, audited) {
  const element = make('span', { class: audited ? 'bar audited' : 'bar', text: percent(share) });
  element.style.setProperty('--share', share);
  return element;
}

// One token, layer by layer, into `place`.
export function inspectInto(place) {
  const hint = make('p', { class: 'hint', text: 'Point at a token, or walk to it with the arrow keys, to see it by layer.' });
  place.replaceChildren(hint);
  return (token) => {
    const { layers, audit } = token;
    const parts = [
      make('p', { class: 'shown', text: JSON.stringify(token.text) }),
      make('p', { class: 'hint', text: `${percent(token.share)} of the weights, ${token.mode}` }),
    ];
    if (audit) {
      parts.push(make('p', { class: 'hint', text: `Audited: layer ${audit.layer} ${audit.block === 'heads' ? 'heads' : 'MLP'}, recall ${percent(audit.recall)}, error ${percent(audit.error)}` }));
    }
    if (layers) {
      const rows = layers.mlp.map((mlp, layer) => {
        const here = audit?.layer === layer;
        return make('tr', here ? { class: 'audited' } : {},
          make('th', { scope: 'row', text: layer }),
          make('td', {}, bar(mlp, here && audit.block === 'mlp')),
          make('td', {}, bar(layers.heads[layer], here && audit.block === 'heads')));
      });
      const head = make('tr', {}, ...['Layer', 'Neurons', 'Heads'].map((text) => make('th', { scope: 'col', text })));
      parts.push(make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows)));
    } else {
      parts.push(make('p', { class: 'hint', text: 'Computed dense: every neuron and head of every layer. A first token always is, since it comes from the prompt.' }));
    }
    place.replaceChildren(...parts);
  };
}
