/** Signs the ticket that goes with each hand-over: bound to one node, one run and the exact bytes of its spec. */
import { SignJWT } from 'jose';
import { bodyDigest, TICKET_ALGORITHM, TICKET_LIFETIME_S, TICKET_TYPE } from '../../protocol/ticket.ts';
import type { Clock } from '../../shared/clock.ts';
import type { SigningKey } from './signing-key.ts';

export interface TicketOptions {
  signingKey: SigningKey;
  clock: Clock;
}

/** A compact JWS (RFC 7515) for `body`, the bytes of the run's spec. */
export function issueTicket(
  options: TicketOptions,
  run: { id: string; nodeId: string },
  body: Uint8Array,
): Promise<string> {
  const issuedAt = Math.floor(options.clock.now() / 1000);
  return new SignJWT({ run: run.id, body: bodyDigest(body) })
    .setProtectedHeader({ alg: TICKET_ALGORITHM, typ: TICKET_TYPE, kid: options.signingKey.id })
    .setAudience(run.nodeId)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + TICKET_LIFETIME_S)
    .sign(options.signingKey.privateKey);
}
