// One generation: a stream of tokens, each with its text and how it was computed.
import { call, events } from './api.js';

function textOf(choice) { return choice.text ?? choice.delta?.content ?? ''; }

// Yields { text, mode, share, layers, audit, at }: share of the model's weights, layers as
// { mlp, heads } or null for a dense token, at in milliseconds since the request.
export async function* generate(path, fields, signal) {
  const body = { ...fields, stream: true, sparsity: { ...fields.sparsity, per_layer: true } };
  const start = performance.now();
  const response = await call(path, { body, signal });
  for await (const chunk of events(response)) {
    const choice = chunk.choices[0];
    // The last chunk's `sparsity` is the whole answer's; its own token's is inside.
    const use = chunk.timings ? chunk.sparsity.chunk : chunk.sparsity;
    if (!choice || !use) continue;
    yield {
      text: textOf(choice),
      mode: use.mode,
      share: use.weight_share ?? 1,
      layers: use.layers ?? null,
      audit: use.audit ?? null,
      at: performance.now() - start,
    };
  }
}

// What a run of tokens came to.
export class Tally {
  count = 0;
  shares = 0;
  first = null;
  last = null;

  add(token) {
    this.count += 1;
    this.shares += token.share;
    this.first ??= token.at;
    this.last = token.at;
  }

  // Tokens a second, after the first: that one's time is the prompt's.
  get speed() {
    return this.count > 1 && this.last > this.first ? (this.count - 1) / (this.last - this.first) * 1e3 : null;
  }
  get share() { return this.count ? this.shares / this.count : null; }
}
