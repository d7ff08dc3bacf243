/** What a hostile peer answers over HTTP: too much, without end, the wrong thing, or with what a terminal would obey. */
import type http from 'node:http';
import { LOG_CONTENT_TYPE } from '../../src/protocol/frames.ts';

export type Answer = http.RequestListener;

/** All that must reach no terminal: a title, a colour, C1, a direction override, a mark, zero width, line separators, a BOM, a tag. */
export const UNPRINTABLE = '\u001b]0;owned\u0007\u009b31m\u202e\u2066\u200e\u061c\u200b\u2028\u2029\ufeff\u{e0041}\r\n';
/** None of it may be in what is printed; the line feed alone ends lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
export const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/u;

export function json(value: unknown, status = 200): Answer {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };
}

/** An error as fleet writes them, with any code, message and hint. */
export function failure(code: string, message: string, hint?: string, status = 500): Answer {
  return json({ error: { code, message, hint } }, status);
}

/** A body that goes on until the reader hangs up; `sent` counts its bytes. */
export function endless({ status = 200, contentType = 'application/json', chunk = Buffer.alloc(65_536, 'x') } = {}) {
  const serve: Answer = (_request, response) => {
    response.writeHead(status, { 'content-type': contentType });
    const write = (): void => {
      do answer.sent += chunk.length;
      while (response.write(chunk) && !response.destroyed);
    };
    response.on('drain', write);
    // The reader hangs up: that is what this waits for.
    response.on('error', () => {});
    write();
  };
  const answer = Object.assign(serve, { sent: 0 });
  return answer;
}

/** A run's log of these bytes, and then no end. */
export function log(bytes: Buffer, status = 201): Answer {
  return (_request, response) => void response.writeHead(status, { 'content-type': LOG_CONTENT_TYPE }).write(bytes);
}
