/** Logging in: a handshake with an invite, and what is kept of it. */
import type { z } from 'zod';
import { PERSON_ROLES, type PersonRole } from '../domain/vocabulary.ts';
import { GATEWAY_PEER } from '../protocol/gateway-peer.ts';
import { pairChallengeAnswer, pairVerifyAnswer } from '../protocol/node-messages.ts';
import { type InviteCode, parseInviteCode } from '../protocol/pairing.ts';
import { type PairingCalls, pair } from '../protocol/pairing-client.ts';
import { type Address, formatAddress } from '../shared/address.ts';
import type { Clock } from '../shared/clock.ts';
import { isoTime } from '../shared/duration.ts';
import { FleetError } from '../shared/errors.ts';
import { personPaths } from '../shared/home.ts';
import { requestJson } from '../shared/http/request.ts';
import { ensurePrivateFolder } from '../shared/private-file.ts';
import { loadOrCreateIdentity, type OwnIdentity } from '../shared/ssh/identity.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../shared/ssh/ssh-key.ts';
import { checkHostKey, connect, type GatewayConnection, parseTarget } from './connect.ts';
import { type Login, Logins } from './logins.ts';

/** The pairing handshake of a person's key over an open connection: with a code to log in, without one for a fresh token. */
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

export function pairingCalls({ agent }: GatewayConnection): PairingCalls {
  const post = async <S extends z.ZodType>(path: string, body: unknown, schema: S): Promise<z.output<S>> => {
    return await requestJson<z.output<S>>({ agent, method: 'POST', path, body, peer: GATEWAY_PEER }, schema);
  };
  return {
    pairChallenge: (request) => post('/v1/pair/challenge', request, pairChallengeAnswer),
    pairVerify: (request) => post('/v1/pair/verify', request, pairVerifyAnswer),
  };
}

export function otherVersion(): FleetError {
  return new FleetError('protocol_unsupported', 'the gateway answers in a way that this version does not know', {
    hint: 'Install the same fleet version on both machines.',
  });
}

/** `fleet login`: makes a gateway know this person's key, and this home that gateway. */
export interface LoginOptions {
  home: string;
  /** `[user@]host[:port]`; undefined for the default one. */
  gateway: string | undefined;
  /** From `fleet invite`; undefined to renew what is there. */
  code: string | undefined;
  /** The name that the person asked for; undefined leaves it to `suggestedName` and the gateway. */
  name: string | undefined;
  suggestedName: string;
  /** Goes into the key file. */
  keyComment: string;
  clock: Clock;
}

export interface LoginResult {
  gateway: string;
  name: string;
  role: string;
  /** `SHA256:…` of this person's key, as ssh-keygen -l shows it. */
  fingerprint: string;
  hostKeyFingerprint: string;
  /** End of the token, on the gateway's clock; it is renewed by then. */
  expiresAt: string;
  /** The gateway that commands of this home mean when none is named. */
  isDefault: boolean;
}

/** @throws FleetError `invite_invalid`, `gateway_not_proven`, `not_paired`, `key_revoked`, `gateway_unreachable`, `host_key_changed`, … */
export async function login(options: LoginOptions): Promise<LoginResult> {
  const { home, code, clock } = options;
  const logins = new Logins(home);
  const text = options.gateway ?? logins.default;
  if (text === undefined) {
    throw new FleetError('usage', 'no gateway is given, and this home knows none', {
      hint: 'Say which: fleet login HOST --code CODE',
    });
  }
  const target = parseTarget(text);
  const { address } = target;
  const invite = code === undefined ? undefined : parseInviteCode(code);
  const known = logins.read(address);
  if (known === undefined && invite === undefined) throw codeNeeded(address);
  const { folder, key } = personPaths(home);
  ensurePrivateFolder(home);
  ensurePrivateFolder(folder);
  const identity = loadOrCreateIdentity(key, options.keyComment);
  const connection = await connect({
    target,
    privateKey: identity.privateKey,
    // With a code any key is fine here: the code's proof covers it, and a gateway that was set up again has another one.
    verifyHostKey: (shown) => (known === undefined || invite !== undefined ? undefined : checkHostKey(shown, known)),
    clock,
  });
  try {
    const name = options.name ?? known?.name ?? options.suggestedName;
    const nameRequired = options.name !== undefined;
    const present = await handshake({ connection, address, identity, invite, name, nameRequired, clock });
    logins.save(present);
    if (invite !== undefined || logins.default === undefined) logins.setDefault(address);
    return describe(present, identity, logins);
  } finally {
    connection.agent.destroy();
    connection.ssh.close();
  }
}

export function describe(login: Login, { publicKey }: OwnIdentity, logins: Logins): LoginResult {
  return {
    gateway: formatAddress(login.gateway),
    name: login.name,
    role: login.role,
    fingerprint: formatFingerprint(sshPublicKeyBlob(publicKey)),
    hostKeyFingerprint: formatFingerprint(Buffer.from(login.hostKey, 'base64')),
    expiresAt: isoTime(login.tokenExpiresAt),
    isDefault: logins.default === formatAddress(login.gateway),
  };
}

export function codeNeeded(address: Address): FleetError {
  return new FleetError('not_paired', `you are not logged in to ${formatAddress(address)}`, {
    hint: 'The first time takes a code; an admin makes one: fleet invite --role operator',
  });
}
