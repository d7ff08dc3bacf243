/** The logging interface that modules take (constant messages, facts as fields; pino satisfies it), and a log line as stored and as read. */
import { cutText, escapeJson, harmlessJson, stripControl } from './text.ts';

export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(facts: object): Logger;
}

/** Drops everything; for tests and for library use without a log. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};

/** Longest line of a log, UTF-16 units: messages from other machines must not push everything else out of the file. */
const MAX_LINE_LENGTH = 8 * 1024;
/** Longest text, and most entries of a list or object, in a line that is too long. */
const MAX_TEXT_LENGTH = 1024;
const MAX_ENTRIES = 50;

/** A JSON line as stored. One that is too long loses the ends of its texts and lists; if that is not enough, all facts. */
export function boundLogLine(line: string): string {
  if (line.length <= MAX_LINE_LENGTH) return escapeJson(line);
  const record = parseRecord(line);
  if (record === undefined) return `${escapeJson(cutText(line, MAX_LINE_LENGTH))}\n`;
  const shorter = harmlessJson({ ...(shorten(record) as object), cutFrom: line.length });
  if (shorter.length <= MAX_LINE_LENGTH) return `${shorter}\n`;
  const { level, time, msg } = record;
  return `${harmlessJson({ level, time, msg: cutText(String(msg), MAX_TEXT_LENGTH), cutFrom: line.length })}\n`;
}

function shorten(value: unknown): unknown {
  if (typeof value === 'string') return cutText(value, MAX_TEXT_LENGTH);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map(shorten);
  const entries = Object.entries(value).slice(0, MAX_ENTRIES);
  return Object.fromEntries(entries.map(([key, each]) => [cutText(key, MAX_TEXT_LENGTH), shorten(each)]));
}

/** A JSON line as people read it: time, level, message, facts, and a newline. Anything but pino's JSON is returned unchanged. */
export function formatLogLine(text: string): string {
  const record = parseRecord(text);
  if (record === undefined) return `${stripControl(text.trimEnd())}\n`;
  const { time, level, msg, err, ...facts } = record;
  const pairs = Object.entries(facts).map(([key, value]) => `${key}=${formatValue(value)}`);
  if (typeof err === 'object' && err !== null && 'message' in err) pairs.push(`error=${formatValue(err.message)}`);
  const clock = typeof time === 'string' ? time.slice(11, 19) : '--:--:--';
  return `${stripControl(`${clock} ${String(level).padEnd(5)} ${[String(msg), ...pairs].join(' ')}`)}\n`;
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
