/** Accepts only what the gateway has signed for this node, this run and exactly these bytes. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { jwtVerify } from 'jose';
import { bodyDigest, TICKET_ALGORITHM, TICKET_TYPE } from '../../protocol/run-spec.ts';
import { FleetError } from '../../shared/errors.ts';

/** Accepted error of the node's estimate of the gateway's clock, s. */
const TOLERANCE_S = 30;

/** Parsed keys, as long as the node's state holds them: jose caches by object identity, too. */
const IMPORTED = new WeakMap<readonly string[], readonly KeyObject[]>();

interface TicketCheck {
  ticket: string | undefined;
  run: string;
  nodeId: string;
  /** The request's raw body. */
  body: Uint8Array;
  /** Raw Ed25519 public keys of the gateway, base64url. */
  signingKeys: readonly string[];
  /** The gateway's time, ms. */
  now: number;
}

/** @throws FleetError `forbidden` if the ticket is missing, not signed by the gateway, expired, or for something else. */
export async function verifyTicket(check: TicketCheck): Promise<void> {
  if (check.ticket === undefined) throw new FleetError('forbidden', 'the hand-over carries no ticket');
  const payload = await verifiedPayload(check.ticket, check);
  if (payload.run !== check.run) throw new FleetError('forbidden', 'the ticket is for another run');
  if (payload.body !== bodyDigest(check.body)) throw new FleetError('forbidden', 'the ticket is for another command');
}

async function verifiedPayload(ticket: string, check: TicketCheck): Promise<Record<string, unknown>> {
  let failure: unknown;
  for (const key of publicKeysOf(check.signingKeys)) {
    try {
      const { payload } = await jwtVerify(ticket, key, {
        algorithms: [TICKET_ALGORITHM],
        typ: TICKET_TYPE,
        audience: check.nodeId,
        currentDate: new Date(check.now),
        clockTolerance: TOLERANCE_S,
        requiredClaims: ['exp', 'iat', 'run', 'body'],
      });
      return payload;
    } catch (error) {
      failure = error;
    }
  }
  const why = failure instanceof Error ? failure.message : 'no signing key is known';
  throw new FleetError('forbidden', `invalid ticket: ${why}`, { cause: failure });
}

function publicKeysOf(raw: readonly string[]): readonly KeyObject[] {
  const known = IMPORTED.get(raw);
  if (known !== undefined) return known;
  const keys = raw.map((x) => createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }));
  IMPORTED.set(raw, keys);
  return keys;
}
