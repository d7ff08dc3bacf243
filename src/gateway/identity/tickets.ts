/** Signs the ticket that goes with each hand-over: bound to one node, one run and the exact bytes of its spec. */
import { sign } from 'node:crypto';
import { bodyDigest, TICKET_ALGORITHM, TICKET_LIFETIME_S, TICKET_TYPE } from '../../protocol/run-spec.ts';
import type { Clock } from '../../shared/clock.ts';
import type { SigningKey } from './signing-key.ts';

export interface TicketOptions {
  signingKey: SigningKey;
  clock: Pick<Clock, 'now'>;
}

/**
 * A JWS in compact form (RFC 7515, 3.1) for `body`, the bytes of the run's spec. Signed at once, on the way of every hand-over: jose's
 * way leads through the thread pool, where it waits for everything else that is going on, for a signature of 40 µs.
 */
export function issueTicket(
  { signingKey, clock }: TicketOptions,
  run: { id: string; nodeId: string },
  body: Uint8Array,
): string {
  const iat = Math.floor(clock.now() / 1000);
  const header = { alg: TICKET_ALGORITHM, typ: TICKET_TYPE, kid: signingKey.id };
  const claims = { run: run.id, body: bodyDigest(body), aud: run.nodeId, iat, exp: iat + TICKET_LIFETIME_S };
  const signed = `${base64UrlJson(header)}.${base64UrlJson(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), signingKey.privateKey).toString('base64url')}`;
}

function base64UrlJson(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
