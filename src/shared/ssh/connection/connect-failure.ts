/** Why connecting to a gateway failed: a code for programs, words for people. */
import { formatAddress } from '../../address.ts';
import { FleetError, systemErrorCode } from '../../errors.ts';
import { stripControl } from '../../text.ts';

/** What is known of an attempt that ended before it was ready. */
export interface ConnectAttempt {
  host: string;
  port: number;
  connectTimeoutMs: number;
  /** `connect_timeout`, `aborted`, or a reason of the guarded connection. */
  reason: string;
  error?: (Error & { level?: string }) | undefined;
  /** What `verifyHostKey` threw. */
  refusal: unknown;
  /** Whether TCP connected. */
  connected: boolean;
  /** Whether an SSH identification line came. */
  identified: boolean;
  /** The first bytes that came. */
  firstBytes: Buffer;
}

const SYSTEM_ERRORS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENETDOWN: 'the network is down',
  ETIMEDOUT: 'the TCP connection timed out',
};

/** Failures of getaddrinfo(3). */
const UNRESOLVED: Record<string, string> = {
  ENOTFOUND: 'The name is not in DNS: check its spelling.',
  EAI_AGAIN: 'DNS does not answer: check the network and the spelling of the name.',
};

/** The error that `connectSsh` rejects with; a refusal of the host key passes unchanged. */
export function connectFailure(attempt: ConnectAttempt): unknown {
  const { host, port, connectTimeoutMs, reason, error, refusal, connected } = attempt;
  if (refusal !== undefined) return refusal;
  const facts = { host, port, reason };
  const failure = (
    code: FleetError['code'],
    message: string,
    options: { hint?: string; facts?: Record<string, unknown> } = {},
  ) => new FleetError(code, `${formatAddress({ host, port })}: ${message}`, { cause: error, facts, ...options });
  if (reason === 'connect_timeout') {
    const what = connected ? 'the TCP connection was accepted, but there was no SSH handshake' : 'no TCP connection';
    return failure('timeout', `${what} within ${connectTimeoutMs / 1000} s`);
  }
  if (reason === 'aborted') return failure('connection_lost', 'connecting was aborted');
  if (error?.level === 'client-authentication') {
    return failure('forbidden', 'the server refused the key', {
      hint: 'A fleet gateway accepts every Ed25519 key: is this one?',
    });
  }
  const unresolved = UNRESOLVED[systemErrorCode(error) ?? ''];
  if (unresolved !== undefined) {
    const options = { facts: { ...facts, unresolved: host }, hint: unresolved };
    return failure('gateway_unreachable', `cannot resolve ${host}`, options);
  }
  const [message, hint] = unreachableWords(attempt);
  return failure('gateway_unreachable', message, { hint });
}

function unreachableWords({
  error,
  connected,
  identified,
  firstBytes,
}: ConnectAttempt): [message: string, hint: string] {
  const code = systemErrorCode(error) ?? '';
  if (identified) {
    const message = error?.message ?? 'the connection was closed during the SSH handshake';
    return [stripControl(message), 'It speaks SSH, but the handshake failed: is it a fleet gateway?'];
  }
  if (!connected && error !== undefined) {
    const hint = 'Check the address, the network and the firewall, and that the gateway is running.';
    return [SYSTEM_ERRORS[code] ?? stripControl(error.message), hint];
  }
  if (firstBytes.length > 0) {
    const answer = JSON.stringify(stripControl(firstBytes.toString('latin1')));
    return [`it does not speak SSH; it sent ${answer}`, 'Check the port: another server is listening there.'];
  }
  const what =
    code === 'ECONNRESET' ? 'it reset the connection at once' : 'it closed the connection without sending anything';
  return [what, 'The gateway may be overloaded, or another server is listening there.'];
}
