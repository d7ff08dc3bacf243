/** The pairing handshake of a person's key over an open connection: with a code to log in, without one for a fresh token. */
import type { z } from 'zod';
import { GATEWAY_PEER } from '../protocol/gateway-peer.ts';
import { pairChallengeAnswer, pairVerifyAnswer } from '../protocol/node-messages.ts';
import type { InviteCode } from '../protocol/pairing.ts';
import { type PairingCalls, pair } from '../protocol/pairing-client.ts';
import { PERSON_ROLES, type PersonRole } from '../protocol/roles.ts';
import type { Address } from '../shared/address.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';
import { requestJson } from '../shared/http/request.ts';
import type { OwnIdentity } from '../shared/ssh/identity.ts';
import type { GatewayConnection } from './connect.ts';
import type { Login } from './logins.ts';

export interface HandshakeOptions {
  connection: GatewayConnection;
  address: Address;
  identity: OwnIdentity;
  invite: InviteCode | undefined;
  /** Name that the person would like, or must have. */
  name: string;
  nameRequired: boolean;
  clock: Clock;
}

/** @throws FleetError `gateway_not_proven`, and what the gateway refuses: `invite_invalid`, `not_paired`, `key_revoked`, … */
export async function handshake(options: HandshakeOptions): Promise<Login> {
  const { connection, address, identity, invite, name, nameRequired, clock } = options;
  const { hostKey } = connection.ssh;
  const result = await pair({
    client: pairingCalls(connection),
    as: 'person',
    identity,
    hostKey,
    invite,
    name,
    nameRequired,
    labels: {},
  });
  if (result.status !== 'paired' || !PERSON_ROLES.includes(result.role as PersonRole)) throw otherVersion();
  return {
    version: 1,
    gateway: address,
    hostKey: hostKey.toString('base64'),
    id: result.id,
    name: result.name,
    role: result.role as PersonRole,
    token: result.token,
    tokenIssuedAt: result.time,
    tokenExpiresAt: result.expiresAt,
    savedAt: clock.now(),
  };
}

function pairingCalls({ agent }: GatewayConnection): PairingCalls {
  const post = async <S extends z.ZodType>(path: string, body: unknown, schema: S): Promise<z.output<S>> => {
    return await requestJson<z.output<S>>({ agent, method: 'POST', path, body, peer: GATEWAY_PEER }, schema);
  };
  return {
    pairChallenge: (request) => post('/v1/pair/challenge', request, pairChallengeAnswer),
    pairVerify: (request) => post('/v1/pair/verify', request, pairVerifyAnswer),
  };
}

function otherVersion(): FleetError {
  return new FleetError('protocol_unsupported', 'the gateway answers in a way that this version does not know', {
    hint: 'Install the same fleet version on both machines.',
  });
}
