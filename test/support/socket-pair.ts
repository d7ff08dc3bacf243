/** Two connected sockets: what an SSH channel looks like to HTTP on either end. */

import type { Duplex } from 'node:stream';
import { duplexPair } from 'node:stream';

/** What node:http calls on every socket and a channel has too. */
function withSocketMethods(stream: Duplex): Duplex {
  const self = (): Duplex => stream;
  return Object.assign(stream, { setKeepAlive: self, setNoDelay: self, setTimeout: self, ref: self, unref: self });
}

/** When one end is destroyed, so is the other, as a channel is; what was ended properly can still be read. */
export function socketPair(): [Duplex, Duplex] {
  const [near, far] = duplexPair().map(withSocketMethods) as [Duplex, Duplex];
  for (const [stream, other] of [
    [near, far],
    [far, near],
  ] as const) {
    stream.on('error', () => {});
    stream.once('close', () => {
      if (!stream.writableFinished) other.destroy();
    });
  }
  return [near, far];
}
