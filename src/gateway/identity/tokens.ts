/** Tokens: JWTs of 24 h that say who a key is and are worth something only together with that key (RFC 7519, RFC 7800). */
import type { KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, errors, jwtVerify, SignJWT } from 'jose';
import type { Role } from '../../domain/vocabulary.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { KeyRing } from './signing-keys.ts';

/** Life of a token, s. */
export const TOKEN_LIFETIME_S = 24 * 3600;
const ALGORITHM = 'EdDSA';
const TYPE = 'fleet-token+jwt';

export interface TokenClaims {
  /** Node or operator id. */
  subject: string;
  role: Role;
  /** Ed25519 public key, 32 bytes, to which the token is bound. */
  publicKey: Uint8Array;
}

export interface TokensOptions {
  keys: KeyRing;
  /** `iss` and `aud`: the gateway's own id, so that a token of another gateway is void. */
  gatewayId: string;
  clock: Clock;
  randomBytes: (size: number) => Uint8Array;
}

export class Tokens {
  readonly #options: TokensOptions;

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** A fresh token and its end, ms on the gateway's clock. */
  async issue(claims: TokenClaims): Promise<{ token: string; expiresAt: number }> {
    const { keys, gatewayId, clock, randomBytes } = this.#options;
    const signingKey = keys.current;
    const issuedAt = Math.floor(clock.now() / 1000);
    const token = await new SignJWT({ role: claims.role, cnf: { jkt: await thumbprint(claims.publicKey) } })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: signingKey.id })
      .setIssuer(gatewayId)
      .setAudience(gatewayId)
      .setSubject(claims.subject)
      .setJti(randomBase32(16, randomBytes))
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + TOKEN_LIFETIME_S)
      .sign(signingKey.privateKey);
    return { token, expiresAt: (issuedAt + TOKEN_LIFETIME_S) * 1000 };
  }

  /** Who the token says its bearer is. @throws FleetError `token_invalid` when it is not ours, over, or bound to another key than `publicKey`. */
  async verify(token: string, publicKey: Uint8Array): Promise<{ subject: string; role: Role; expiresAt: number }> {
    const { keys, gatewayId, clock } = this.#options;
    try {
      const { payload } = await jwtVerify(token, ({ kid }) => keyOf(keys, kid), {
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

function keyOf(keys: KeyRing, kid: string | undefined): KeyObject {
  const key = kid === undefined ? undefined : keys.accepted(kid);
  if (key === undefined)
    throw new FleetError('token_invalid', 'the token is signed with a key that does not count any more');
  return key;
}

/** RFC 7638 thumbprint of an Ed25519 public key of 32 bytes. */
function thumbprint(publicKey: Uint8Array): Promise<string> {
  return calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') });
}
