/** One JSON log line as a person reads it: time, level, message, then the facts. */
import { stripControl } from './strip-control.ts';

/** `text` is one line of JSON as pino writes it; anything else is given back as it is. Ends with a newline. */
export function formatLogLine(text: string): string {
  const record = parseRecord(text);
  if (record === undefined) return `${stripControl(text.trimEnd())}\n`;
  const { time, level, msg, err, ...facts } = record;
  const pairs = Object.entries(facts).map(([key, value]) => `${key}=${formatValue(value)}`);
  if (typeof err === 'object' && err !== null && 'message' in err) pairs.push(`error=${formatValue(err.message)}`);
  const clock = typeof time === 'string' ? time.slice(11, 19) : '--:--:--';
  return stripControl(`${clock} ${String(level).padEnd(5)} ${[String(msg), ...pairs].join(' ')}`).concat('\n');
}

function parseRecord(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@%+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? 'undefined';
}
