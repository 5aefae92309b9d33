// Numbers and times as people read them, and what several pages draw alike.
export const LABELS = ["Neutral", "Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise"];

export const state = (word) => word.replaceAll("_", " ");

export function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export function clock(seconds) {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export const signed = (value) =>
  value === null || value === undefined ? "–" : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

export const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)}\u00a0%`);

export const count = (n) => Number(n).toLocaleString("en");

export const counted = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

/** Put what has changed into rows that are known: `set` by name, `gone` names. */
export function apply(rows, delta) {
  for (const [name, fields] of Object.entries(delta?.set ?? {})) rows[name] = { ...rows[name], ...fields };
  for (const name of delta?.gone ?? []) delete rows[name];
}

const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** The order of names: numbers inside of them count as numbers. */
export const byName = (a, b) => names.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
