/** A log for a process that must stay small: one JSON object a line, warnings and errors only. */
import { boundLogLine, type Logger } from '../../shared/logger.ts';

export function createLineLogger(write: (line: string) => void, bindings: object = {}): Logger {
  const log =
    (level: string) =>
    (facts: object, message: string): void => {
      const plain = Object.entries({ ...bindings, ...facts }).map(([name, value]) => [
        name,
        value instanceof Error ? `${value.name}: ${value.message}` : value,
      ]);
      const record = { time: new Date().toISOString(), level, ...Object.fromEntries(plain), msg: message };
      write(boundLogLine(`${JSON.stringify(record)}\n`));
    };
  return {
    debug: () => {},
    info: () => {},
    warn: log('warn'),
    error: log('error'),
    child: (facts) => createLineLogger(write, { ...bindings, ...facts }),
  };
}
