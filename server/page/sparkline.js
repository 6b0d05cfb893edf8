// The last values of one figure as a line.
const NS = 'http://www.w3.org/2000/svg';
const POINTS = 120;

export class Sparkline {
  #values = [];

  constructor() {
    this.element = document.createElementNS(NS, 'svg');
    this.element.setAttribute('viewBox', `0 0 ${POINTS} 30`);
    this.element.setAttribute('preserveAspectRatio', 'none');
    this.element.setAttribute('aria-hidden', 'true');
    this.line = this.element.appendChild(document.createElementNS(NS, 'polyline'));
    this.line.setAttribute('vector-effect', 'non-scaling-stroke');
  }

  add(value) {
    if (value == null) return;
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    const most = Math.max(...this.#values) || 1;
    const from = POINTS - this.#values.length;
    this.line.setAttribute('points', this.#values.map((v, i) => `${from + i},${(28 - 26 * v / most).toFixed(1)}`).join(' '));
  }
}
