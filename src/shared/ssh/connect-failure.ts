/** Why connecting to a gateway failed, in a code to act upon and words for a person. */
import { FleetError, systemErrorCode } from '../errors.ts';
import { stripControl } from '../text.ts';

/** What is known when an attempt has ended before it was ready. */
export interface ConnectAttempt {
  host: string;
  port: number;
  connectTimeoutMs: number;
  /** Why it ended: `connect_timeout`, `aborted`, or a reason of the guarded connection. */
  reason: string;
  error: (Error & { level?: string }) | undefined;
  /** What `verifyHostKey` threw. */
  refusal: unknown;
  /** Whether TCP connected. */
  connected: boolean;
  /** Whether an SSH identification line came. */
  identified: boolean;
  /** The first bytes that came. */
  firstBytes: Buffer;
}

/** Meanings of the system errors that people see. */
const SYSTEM_ERRORS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENETDOWN: 'the network is down',
  ETIMEDOUT: 'the TCP connection timed out',
};

/** Failures of getaddrinfo(3): there is no address to speak of yet. */
const UNRESOLVED: Record<string, string> = {
  ENOTFOUND: 'DNS does not know the name: check its spelling.',
  EAI_AGAIN: 'DNS does not answer: check the network, and the spelling of the name.',
};

/** The error with which `connectSsh` rejects; the host key's refusal is passed on as it is. */
export function connectFailure(attempt: ConnectAttempt): unknown {
  const { host, port, reason, error, refusal } = attempt;
  const gateway = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const facts = { host, port, reason };
  if (refusal !== undefined) return refusal;
  if (reason === 'connect_timeout') {
    return new FleetError('timeout', `${gateway}: ${timeoutMessage(attempt)}`, { cause: error, facts });
  }
  if (reason === 'aborted') {
    return new FleetError('connection_lost', `${gateway}: connecting was aborted`, { cause: error, facts });
  }
  if (error?.level === 'client-authentication') {
    const hint = 'The gateway accepts every Ed25519 key that signs; is this a fleet gateway?';
    return new FleetError('forbidden', `${gateway}: the gateway refused the key`, { cause: error, facts, hint });
  }
  const unresolved = UNRESOLVED[systemErrorCode(error) ?? ''];
  if (unresolved !== undefined) {
    return new FleetError('gateway_unreachable', `${gateway}: cannot resolve ${host}`, {
      cause: error,
      facts: { ...facts, unresolved: host },
      hint: unresolved,
    });
  }
  const { message, hint } = attempt.identified ? handshakeMessage(attempt) : strangerMessage(attempt);
  return new FleetError('gateway_unreachable', `${gateway}: ${message}`, { cause: error, facts, hint });
}

function timeoutMessage({ connected, connectTimeoutMs }: ConnectAttempt): string {
  const what = connected ? 'it accepted the TCP connection, but no SSH handshake' : 'no TCP connection';
  return `${what} within ${connectTimeoutMs / 1000} s`;
}

function handshakeMessage({ error }: ConnectAttempt): { message: string; hint: string } {
  const message =
    error === undefined ? 'the connection was closed during the SSH handshake' : stripControl(error.message);
  return { message, hint: 'It speaks SSH, but the handshake failed; is this a fleet gateway?' };
}

function strangerMessage({ error, connected, firstBytes }: ConnectAttempt): { message: string; hint: string } {
  const code = systemErrorCode(error);
  if (!connected && error !== undefined) {
    const message = SYSTEM_ERRORS[code ?? ''] ?? stripControl(error.message);
    return { message, hint: 'Check the address, the network and the firewall, and that the gateway runs.' };
  }
  if (firstBytes.length > 0) {
    const answer = JSON.stringify(stripControl(firstBytes.toString('latin1')));
    return {
      message: `it does not speak SSH; it said ${answer}`,
      hint: 'Check the port: another server answers there.',
    };
  }
  return {
    message: code === 'ECONNRESET' ? 'it reset the connection at once' : 'it closed the connection without a word',
    hint: 'The gateway may be overloaded; or another server listens there.',
  };
}
