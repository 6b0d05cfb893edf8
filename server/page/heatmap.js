// Layers (down) over time (to the right, newest last), as a canvas. The arrow keys and the pointer
// read single values.
import { percent } from './format.js';

const COLUMNS = 180;
const CELL = 12;  // pixels of a layer's row; the canvas is scaled to its place

export class HeatMap {
  #columns = [];
  #layers = 0;
  #at = null;  // [column, layer] being read

  // `read(text)` gets the value under the pointer.
  constructor(canvas, name, read) {
    this.canvas = canvas;
    this.name = name;
    this.read = read;
    canvas.width = COLUMNS * 4;
    canvas.height = CELL;
    canvas.addEventListener('pointermove', (event) => {
      const box = canvas.getBoundingClientRect();
      const column = Math.floor((event.clientX - box.left) / box.width * COLUMNS) - (COLUMNS - this.#columns.length);
      this.#point(column, Math.floor((event.clientY - box.top) / box.height * this.#layers));
    });
    canvas.addEventListener('keydown', (event) => {
      const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [column, layer] = this.#at ?? [this.#columns.length - 1, 0];
      this.#point(column + step[0], layer + step[1]);
    });
    this.draw();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  // One density a layer; null where nothing was computed sparsely.
  add(densities) {
    this.#layers = densities.length;
    this.#columns.push(densities);
    if (this.#columns.length > COLUMNS) this.#columns.shift();
    this.draw();
  }

  draw() {
    const { canvas } = this;
    if (canvas.height !== this.#layers * CELL) canvas.height = Math.max(1, this.#layers) * CELL;
    const context = canvas.getContext('2d');
    context.clearRect(0, 0, canvas.width, canvas.height);
    const heat = getComputedStyle(canvas).getPropertyValue('--heat').trim();
    const width = canvas.width / COLUMNS;
    this.#columns.forEach((densities, i) => {
      const x = (COLUMNS - this.#columns.length + i) * width;
      densities.forEach((density, layer) => {
        if (density === null) return;
        // The root shows differences among the sparse, where they are.
        context.fillStyle = `rgb(${heat} / ${Math.sqrt(density)})`;
        context.fillRect(x, layer * CELL, width, CELL - 1);
      });
    });
    const latest = this.#columns.findLast((densities) => densities.some((d) => d !== null));
    const words = latest ? latest.map((d, layer) => `${layer}: ${percent(d)}`).join(', ') : 'nothing yet';
    canvas.setAttribute('aria-label', `${this.name} by layer, latest: ${words}`);
  }

  #point(column, layer) {
    const at = [Math.max(0, Math.min(this.#columns.length - 1, column)), Math.max(0, Math.min(this.#layers - 1, layer))];
    const densities = this.#columns[at[0]];
    if (!densities) return;
    this.#at = at;
    this.read(`${this.name}, layer ${at[1]}: ${percent(densities[at[1]])}`);
  }
}
