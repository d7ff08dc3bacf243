/** One connection: dial, pair if needed, offer the forward, say hello. */
import type { Duplex } from 'node:stream';
import { NODE_FORWARD } from '../../domain/limits.ts';
import type { Labels } from '../../domain/names.ts';
import type { NodeFacts, NodeHelloAnswer } from '../../protocol/node-messages.ts';
import type { InviteCode } from '../../protocol/pairing.ts';
import { pair } from '../../protocol/pairing-client.ts';
import { PROTOCOL_VERSION } from '../../protocol/version.ts';
import { type Address, formatAddress } from '../../shared/address.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { SshConnection } from '../../shared/ssh/connection/client-connection.ts';
import { connectSsh } from '../../shared/ssh/connection/connect.ts';
import type { OwnIdentity } from '../../shared/ssh/identity.ts';
import { formatFingerprint } from '../../shared/ssh/ssh-key.ts';
import { GatewayClient, type GatewayClock } from './gateway-client.ts';
import type { NodeState, NodeStateFile } from './node-state.ts';

/** Approval requests in a row whose answers may be lost while the gateway is still believed; each adds a code out of 10^8. */
const MAX_UNANSWERED_CODES = 20;
/** User name on the SSH connection; only the key counts. */
const SSH_USER = 'node';

export interface ConnectOptions {
  address: Address;
  identity: OwnIdentity;
  state: NodeStateFile;
  invite: InviteCode | undefined;
  /** Ask for approval although this node was paired: the gateway has forgotten it. The known pairing is kept until it is let in. */
  pairAgain?: boolean;
  name: string;
  nameRequired: boolean;
  labels: Labels;
  facts: NodeFacts;
  /** Id of the run journal. */
  journal: string;
  keepaliveIntervalMs: number;
  keepaliveCountMax: number;
  clock: Clock;
  gatewayClock: GatewayClock;
  logger: Logger;
  signal: AbortSignal;
  /** Serves the node's API on a channel opened by the gateway. */
  serveApi(channel: Duplex): void;
}

/** A connection that can carry work. */
export interface OpenTunnel {
  connection: SshConnection;
  client: GatewayClient;
  hello: NodeHelloAnswer;
}

/** The gateway has noted this node and waits for an operator. */
export interface Pending {
  pendingCode: string;
  retryAfterMs: number;
  /** For a node that was paired before: why it waits again. */
  forgotten?: FleetError;
}

/** @throws FleetError; its `retryable` says whether to try again. */
export async function connectOnce(options: ConnectOptions): Promise<OpenTunnel | Pending> {
  const { state } = options;
  if (state.current?.pairing === undefined || options.pairAgain) {
    const stranger = await connect(options);
    const pending = await pairFirst(options, stranger).finally(() => stranger.close());
    if (pending !== undefined) return pending;
    // The gateway decides on connect what a key may open, so a newly paired key reconnects.
  }
  const client = await connect(options);
  const { connection } = client;
  try {
    // Its age is unknown until the gateway has sent its time. A refused token is renewed by the hello, an old one by the heartbeats.
    client.token = state.current?.pairing?.token;
    await offerForward(options, client);
    return { connection, client, hello: await sayHello(options, client) };
  } catch (error) {
    client.close();
    const failure = toFleetError(error);
    if (failure.code !== 'connection_lost') throw failure;
    const { reason } = await connection.closed;
    throw new FleetError('connection_lost', `the gateway ended the connection: ${reason}`, { cause: error });
  }
}

async function connect(options: ConnectOptions): Promise<GatewayClient> {
  const { address, identity, state, clock, gatewayClock, logger, signal } = options;
  const { keepaliveIntervalMs, keepaliveCountMax } = options;
  const connection = await connectSsh({
    ...address,
    user: SSH_USER,
    privateKey: identity.privateKey,
    verifyHostKey: (shown) => checkHostKey(shown, address, state.current),
    limits: { keepaliveIntervalMs, keepaliveCountMax },
    clock,
    logger,
    signal,
  });
  return new GatewayClient(connection, clock, gatewayClock);
}

/** Pairs an unknown key; resolves with what to wait for if it is not let in yet. */
async function pairFirst(options: ConnectOptions, client: GatewayClient): Promise<Pending | undefined> {
  const { state, address } = options;
  const { hostKey } = client.connection;
  const known = { version: 1, gateway: address, hostKey: hostKey.toString('base64') } as const;
  const { pairing, epoch } = state.current ?? {};
  const unanswered = state.unansweredCodes;
  const result = await pair({
    ...options,
    as: 'node',
    client,
    hostKey,
    // Stored before it is sent: the gateway may keep this code even if its answer is lost.
    beforeAsking: (code) => {
      unanswered.push(code);
      unanswered.splice(0, unanswered.length - MAX_UNANSWERED_CODES);
      if (state.current?.pendingCode === undefined) state.save({ ...known, pairing, epoch, pendingCode: code });
    },
  });
  if (result.status === 'paired') {
    state.save({ ...known, pairing: toPairing(result), epoch: result.id === pairing?.id ? epoch : undefined });
    return undefined;
  }
  // The code of an earlier request remains valid: it was made from the same key and the same pinned host key.
  const { gatewayCode, retryAfterMs } = result;
  if (!unanswered.includes(gatewayCode) && gatewayCode !== state.current?.pendingCode) {
    throw new FleetError('gateway_not_proven', "the gateway's comparison code differs from this machine's", {
      hint: 'Somebody may be intercepting the connection. Use a code from `fleet invite` instead.',
    });
  }
  unanswered.length = 0;
  if (state.current?.pendingCode !== gatewayCode) state.save({ ...known, pairing, epoch, pendingCode: gatewayCode });
  return { pendingCode: gatewayCode, retryAfterMs };
}

/** Gets a fresh token with the same handshake, without an invite. */
export async function renewToken(options: ConnectOptions, client: GatewayClient): Promise<void> {
  const { state, address } = options;
  const { hostKey } = client.connection;
  const result = await pair({ ...options, as: 'node', client, hostKey, invite: undefined });
  if (result.status !== 'paired') {
    throw new FleetError('not_paired', 'the gateway no longer knows this node', {
      hint: 'Pair it again: fleet node up --gateway HOST --code CODE, with a code from `fleet invite` on the gateway.',
    });
  }
  state.save({ ...(state.current as NodeState), gateway: address, pairing: toPairing(result) });
  client.token = result.token;
}

/** A refused forward doesn't say why; the API does. */
async function offerForward(options: ConnectOptions, client: GatewayClient): Promise<void> {
  try {
    await client.connection.forward(NODE_FORWARD.host, NODE_FORWARD.port, options.serveApi);
  } catch (error) {
    if (toFleetError(error).code === 'forbidden') await sayHello(options, client);
    throw error;
  }
}

/** Says hello; renews the token if the gateway refuses it. */
async function sayHello(options: ConnectOptions, client: GatewayClient): Promise<NodeHelloAnswer> {
  const { facts, journal, state, logger } = options;
  // Without labels, the node keeps those it was paired with.
  const labels = Object.keys(options.labels).length === 0 ? undefined : options.labels;
  const hello = { facts, labels, journal, epoch: state.current?.epoch, protocol: PROTOCOL_VERSION };
  const answer = await client.hello(hello).catch(async (error: unknown) => {
    if (toFleetError(error).code !== 'token_invalid') throw error;
    await renewToken(options, client);
    return await client.hello(hello);
  });
  // Before the first heartbeat, which tells the gateway that it is stored.
  if (answer.epoch !== undefined) state.change({ epoch: answer.epoch, pendingCode: undefined }, logger);
  if (answer.signingKeys !== undefined) state.changePairing({ signingKeys: answer.signingKeys }, logger);
  if (answer.isSuspected) logger.warn({}, "the gateway has seen another machine with this node's key");
  return answer;
}

function toPairing(
  result: Extract<Awaited<ReturnType<typeof pair>>, { status: 'paired' }>,
): NonNullable<NodeState['pairing']> {
  const { id, name, token, expiresAt, time, signingKeys } = result;
  return { id, name, token, tokenIssuedAt: time, tokenExpiresAt: expiresAt, signingKeys };
}

/**
 * On first contact any key is accepted: the invite's proof or the comparison code vouches for it.
 * @throws FleetError `host_key_changed` when the pinned address has another key, `wrong_gateway` when another address does.
 */
function checkHostKey(shown: Buffer, address: Address, state: NodeState | undefined): void {
  const pinnedKey = state && Buffer.from(state.hostKey, 'base64');
  if (pinnedKey === undefined || shown.equals(pinnedKey)) return;
  const facts = { shown: formatFingerprint(shown), pinned: formatFingerprint(pinnedKey) };
  const [dialed, paired] = [formatAddress(address), formatAddress(state?.gateway ?? address)];
  if (dialed === paired) {
    throw new FleetError(
      'host_key_changed',
      `${dialed} shows the host key ${facts.shown}, but ${facts.pinned} is pinned`,
      {
        hint: 'Somebody may be intercepting the connection. If the gateway was reinstalled, pair again under a new --name.',
        facts,
      },
    );
  }
  throw new FleetError('wrong_gateway', `this node is paired with the gateway at ${paired}, not with ${dialed}`, {
    hint: 'One machine can serve two gateways: give the second node another --name.',
    facts,
  });
}
