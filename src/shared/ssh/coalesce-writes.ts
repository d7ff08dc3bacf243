/** Makes one system call, and with TCP_NODELAY one segment, of all that ssh2 writes in one tick: without its native module it writes each packet in three pieces. */
import type { Ssh2Connection } from './ssh2-internals.ts';

/** Takes effect for the ciphers of the next key exchange; the handshake before it is written as ssh2 does. */
export function coalesceWrites({ _protocol, _sock }: Ssh2Connection): void {
  const write = _protocol._onWrite;
  let isCorked = false;
  _protocol._onWrite = (data) => {
    if (!isCorked) {
      isCorked = true;
      _sock.cork();
      process.nextTick(() => {
        isCorked = false;
        _sock.uncork();
      });
    }
    write(data);
  };
}
