/** Tickets: what makes a node believe that a run comes from its gateway, unchanged and for it. */
import { createHash } from 'node:crypto';

/** `typ` of the JWS, so that no token can be passed off as a ticket. */
export const TICKET_TYPE = 'fleet-ticket+jwt';
export const TICKET_ALGORITHM = 'EdDSA';
/** Life of a ticket, s: long enough for a slow link, short enough to be worthless tomorrow. */
export const TICKET_LIFETIME_S = 120;
/** HTTP header that carries it. */
export const TICKET_HEADER = 'fleet-ticket';

/** SHA-256 of the body exactly as sent, base64url: the ticket's `body` claim. */
export function bodyDigest(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}
