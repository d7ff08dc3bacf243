/**
 * Why our list of algorithms goes out along with our identification line (RFC 4253, 4.2 lets it): a gateway waits for it before
 * it shows its own, and ssh2 would wait for the gateway's line, which makes every connection one round trip longer.
 */
import { KEXINIT } from './filter-messages.ts';
import { payloadTypeOf, type Ssh2Connection } from './ssh2-internals.ts';

/** For a client that is not connected yet. */
export function sendKexInitEarly({ _protocol, _sock }: Ssh2Connection): void {
  const { start, _cipher: cipher } = _protocol;
  if (start === undefined) throw new TypeError('the identification line has been sent already');
  _protocol.start = () => {
    // One segment.
    _sock.cork();
    start();
    _protocol.rekey();
    _sock.uncork();
    const sent = _protocol._kexinit;
    // Nothing waits for the keys yet.
    _protocol._queue = undefined;
    const encrypt = cipher.encrypt.bind(cipher);
    // ssh2 makes another list when the gateway's line has come; the one that has been sent counts.
    cipher.encrypt = (packet) => {
      if (payloadTypeOf(packet) !== KEXINIT) return encrypt(packet);
      cipher.encrypt = encrypt;
      _protocol._kexinit = sent;
    };
  };
}
