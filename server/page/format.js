// Figures as text.

export const percent = (x, digits = x < 0.0995 ? 1 : 0) => x == null ? '–' : `${(100 * x).toFixed(digits)} %`;

export const number = (x, digits = 0) => x == null ? '–' : x.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });

export const rate = (x) => x == null ? '–' : number(x, x < 100 ? 1 : 0);

export function duration(seconds) {
  if (seconds == null) return '–';
  if (seconds < 0.0995) return `${(1e3 * seconds).toFixed(1)} ms`;
  return seconds < 1 ? `${(1e3 * seconds).toFixed(0)} ms` : `${seconds.toFixed(2)} s`;
}
