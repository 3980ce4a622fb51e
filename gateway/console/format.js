// Numbers and times as people read them.

const NONE = "–";

export function count(value) {
  return value === null || value === undefined ? NONE : Number(value).toLocaleString("en-US");
}

/** A number with as many digits as tell something. */
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toFixed(1)}G`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  return size >= 100 || Number.isInteger(value) ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value === 0) return "0 s";
  if (value < 0.0095) return `${(value * 1000).toFixed(1)} ms`;
  if (value < 0.9995) return `${(value * 1000).toFixed(0)} ms`;
  if (value < 120) return `${value < 10 ? value.toFixed(2) : value.toFixed(1)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} d`;
}

export function usd(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value === 0) return "$0";
  const size = Math.abs(value);
  return `$${size >= 100 ? value.toFixed(0) : size >= 0.1 ? value.toFixed(2) : size >= 0.01 ? value.toFixed(3) : size >= 0.001 ? value.toFixed(4) : value.toFixed(6)}`;
}

export function clock(unix) {
  return new Date(unix * 1000).toLocaleTimeString("en-GB");
}

export function moment(unix) {
  const at = new Date(unix * 1000);
  return `${at.toISOString().slice(0, 10)} ${at.toLocaleTimeString("en-GB")}`;
}

/** Days from now until a date (ISO 8601); negative once it is past. */
export function daysUntil(day) {
  return Math.ceil((Date.parse(`${day}T00:00:00Z`) - Date.now()) / 86400000);
}

export function retiresIn(day) {
  if (!day) return NONE;
  const days = daysUntil(day);
  return days <= 0 ? "retired" : days === 1 ? "1 day" : `${days} days`;
}

export function retiresKind(day) {
  if (!day) return "dim";
  const days = daysUntil(day);
  return days <= 7 ? "bad" : days <= 60 ? "warn" : "dim";
}

export function price(pair) {
  return pair ? `$${pair[0]} / $${pair[1]}` : NONE;
}

export function tokens(context) {
  return context ? (context >= 1024 ? `${Math.round(context / 1024)}k` : String(context)) : NONE;
}
