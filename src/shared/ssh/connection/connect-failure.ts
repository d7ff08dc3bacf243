/** Why connecting to a gateway failed: a code for programs, words for people. */
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
    const hint = 'A fleet gateway accepts every Ed25519 key: is this one?';
    return new FleetError('forbidden', `${gateway}: the server refused the key`, { cause: error, facts, hint });
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
  const what = connected ? 'the TCP connection was accepted, but there was no SSH handshake' : 'no TCP connection';
  return `${what} within ${connectTimeoutMs / 1000} s`;
}

function handshakeMessage({ error }: ConnectAttempt): { message: string; hint: string } {
  const message =
    error === undefined ? 'the connection was closed during the SSH handshake' : stripControl(error.message);
  return { message, hint: 'It speaks SSH, but the handshake failed: is it a fleet gateway?' };
}

function strangerMessage({ error, connected, firstBytes }: ConnectAttempt): { message: string; hint: string } {
  const code = systemErrorCode(error);
  if (!connected && error !== undefined) {
    const message = SYSTEM_ERRORS[code ?? ''] ?? stripControl(error.message);
    return { message, hint: 'Check the address, the network and the firewall, and that the gateway is running.' };
  }
  if (firstBytes.length > 0) {
    const answer = JSON.stringify(stripControl(firstBytes.toString('latin1')));
    return {
      message: `it does not speak SSH; it sent ${answer}`,
      hint: 'Check the port: another server is listening there.',
    };
  }
  return {
    message:
      code === 'ECONNRESET' ? 'it reset the connection at once' : 'it closed the connection without sending anything',
    hint: 'The gateway may be overloaded, or another server is listening there.',
  };
}
