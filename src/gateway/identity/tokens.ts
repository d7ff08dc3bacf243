/** What the gateway signs: tokens, which say whose key it is (JWTs of 24 h, RFC 7519 and RFC 7800), and the tickets of hand-overs. */
import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { calculateJwkThumbprint, errors, jwtVerify, SignJWT } from 'jose';
import type { Role } from '../../domain/vocabulary.ts';
import { bodyDigest, TICKET_ALGORITHM, TICKET_LIFETIME_S, TICKET_TYPE } from '../../protocol/run-spec.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { KeyRing, SigningKey } from './signing-keys.ts';

/** Life of a token, s. */
export const TOKEN_LIFETIME_S = 24 * 3600;
const ALGORITHM = 'EdDSA';
const TYPE = 'fleet-token+jwt';

interface TokenClaims {
  /** Id of a node or person. */
  subject: string;
  role: Role;
  /** Ed25519 public key, 32 bytes, to which the token is bound. */
  publicKey: Uint8Array;
}

interface TokensOptions {
  keys: KeyRing;
  /** `iss` and `aud`: the gateway's own id, so that a token of another gateway is void. */
  gatewayId: string;
  clock: Clock;
}

export class Tokens {
  readonly #options: TokensOptions;

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** A new token, and its end in ms on the gateway's clock. */
  async issue({ subject, role, publicKey }: TokenClaims): Promise<{ token: string; expiresAt: number }> {
    const { keys, gatewayId, clock } = this.#options;
    const signingKey = keys.current;
    const issuedAt = Math.floor(clock.now() / 1000);
    const token = await new SignJWT({ role, cnf: { jkt: await thumbprint(publicKey) } })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: signingKey.id })
      .setIssuer(gatewayId)
      .setAudience(gatewayId)
      .setSubject(subject)
      .setJti(randomBase32(16, randomBytes))
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + TOKEN_LIFETIME_S)
      .sign(signingKey.privateKey);
    return { token, expiresAt: (issuedAt + TOKEN_LIFETIME_S) * 1000 };
  }

  /** The bearer of the token. @throws FleetError `token_invalid` if it is not ours, has expired, or is bound to another key. */
  async verify(token: string, publicKey: Uint8Array): Promise<{ subject: string; role: Role; expiresAt: number }> {
    const { keys, gatewayId, clock } = this.#options;
    try {
      const { payload } = await jwtVerify(token, ({ kid }) => acceptedKey(keys, kid), {
        algorithms: [ALGORITHM],
        typ: TYPE,
        issuer: gatewayId,
        audience: gatewayId,
        currentDate: new Date(clock.now()),
        requiredClaims: ['sub', 'exp', 'jti', 'role', 'cnf'],
      });
      const bound = (payload.cnf as { jkt?: unknown } | undefined)?.jkt;
      if (bound !== (await thumbprint(publicKey))) {
        throw new FleetError('token_invalid', 'the token is bound to another key');
      }
      return { subject: payload.sub ?? '', role: payload.role as Role, expiresAt: (payload.exp ?? 0) * 1000 };
    } catch (error) {
      if (error instanceof FleetError) throw error;
      const why = error instanceof errors.JWTExpired ? 'has expired' : 'is not valid here';
      throw new FleetError('token_invalid', `the token ${why}`, { cause: error });
    }
  }
}

function acceptedKey(keys: KeyRing, kid: string | undefined): KeyObject {
  const key = kid === undefined ? undefined : keys.accepted(kid);
  if (key === undefined)
    throw new FleetError('token_invalid', 'the token is signed with a key that is no longer accepted');
  return key;
}

/** RFC 7638 thumbprint of an Ed25519 public key of 32 bytes. */
function thumbprint(publicKey: Uint8Array): Promise<string> {
  return calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') });
}

/**
 * The ticket of a hand-over, bound to one node, one run and `body`, the exact bytes of its spec: a JWS in compact form (RFC 7515,
 * 3.1). Signed synchronously, in 40 µs: jose would wait in the thread pool behind everything else.
 */
export function issueTicket(
  { signingKey, clock }: { signingKey: SigningKey; clock: Pick<Clock, 'now'> },
  run: { id: string; nodeId: string },
  body: Uint8Array,
): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const iat = Math.floor(clock.now() / 1000);
  const header = { alg: TICKET_ALGORITHM, typ: TICKET_TYPE, kid: signingKey.id };
  const claims = { run: run.id, body: bodyDigest(body), aud: run.nodeId, iat, exp: iat + TICKET_LIFETIME_S };
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), signingKey.privateKey).toString('base64url')}`;
}
