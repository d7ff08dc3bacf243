/** One attempt: connect, pair or renew when it must, offer the forward, say hello, and have the first heartbeat accepted. */
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
import type { GatewayClock } from './gateway-client.ts';
import { GatewayClient } from './gateway-client.ts';
import type { NodeState, NodeStateFile } from './node-state.ts';

/** Questions to be let in whose answers may be lost in a row, and the gateway is still believed: each adds a code out of 10^8. */
const MAX_UNANSWERED_CODES = 20;
/** User name on the SSH connection; the key alone decides who it is. */
const SSH_USER = 'node';

export interface ConnectOptions {
  address: Address;
  identity: OwnIdentity;
  state: NodeStateFile;
  invite: InviteCode | undefined;
  /** The gateway does not know the key that it has paired once: ask again to be let in. What is known of the pairing stays until then. */
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
  /** Serves the node's API on a channel that the gateway has opened. */
  serveApi(channel: Duplex): void;
}

/** A connection over which work can come. */
export interface OpenTunnel {
  connection: SshConnection;
  client: GatewayClient;
  hello: NodeHelloAnswer;
}

/** The gateway has noted this node and waits for an operator. */
export interface Pending {
  pendingCode: string;
  retryAfterMs: number;
  /** Set for a node that was paired once: why it waits again. */
  forgotten?: FleetError;
}

/** @throws FleetError whatever went wrong; its `retryable` says whether to try again. */
export async function connectOnce(options: ConnectOptions): Promise<OpenTunnel | Pending> {
  if (options.state.current?.pairing === undefined || options.pairAgain) {
    const pending = await withConnection(options, (connection, client) => pairFirst(options, connection, client));
    if (pending !== undefined) return pending;
    // The gateway decides at connect what a key may open, so the key that has just become a node's comes again.
  }
  const connection = await connect(options);
  const client = new GatewayClient(connection, options.clock, options.gatewayClock);
  try {
    // Its age is not looked at before the gateway has told the time: a refused one is renewed, an old one by the heartbeats.
    client.token = options.state.current?.pairing?.token;
    await offerForward(options, connection, client);
    const hello = await sayHello(options, connection, client);
    return { connection, client, hello };
  } catch (error) {
    client.close();
    connection.close();
    throw await explain(error, connection);
  }
}

async function withConnection<T>(
  options: ConnectOptions,
  work: (connection: SshConnection, client: GatewayClient) => Promise<T>,
): Promise<T> {
  const connection = await connect(options);
  const client = new GatewayClient(connection, options.clock, options.gatewayClock);
  try {
    return await work(connection, client);
  } finally {
    client.close();
    connection.close();
  }
}

function connect(options: ConnectOptions): Promise<SshConnection> {
  const { address, identity, state, clock, logger, signal, keepaliveIntervalMs, keepaliveCountMax } = options;
  return connectSsh({
    ...address,
    user: SSH_USER,
    privateKey: identity.privateKey,
    verifyHostKey: (shown) => checkHostKey(shown, address, state.current),
    limits: { keepaliveIntervalMs, keepaliveCountMax },
    clock,
    logger,
    signal,
  });
}

/** Pairs an unknown key; what is left to wait for, if it is not let in yet. */
async function pairFirst(
  options: ConnectOptions,
  connection: SshConnection,
  client: GatewayClient,
): Promise<Pending | undefined> {
  const { state, address } = options;
  const known = { version: 1, gateway: address, hostKey: connection.hostKey.toString('base64') } as const;
  const { pairing, epoch } = state.current ?? {};
  const unanswered = state.unansweredCodes;
  const result = await pair({
    ...options,
    as: 'node',
    client,
    hostKey: connection.hostKey,
    // Kept before it is sent: the gateway may keep to this code, even if its answer is never heard.
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
  // The code of an earlier question stays valid: the key and the pinned host key are still the ones it was made of.
  const { gatewayCode, retryAfterMs } = result;
  if (!unanswered.includes(gatewayCode) && gatewayCode !== state.current?.pendingCode) {
    throw new FleetError('gateway_not_proven', 'the gateway shows another comparison code than this machine', {
      hint: 'Somebody may stand between the machines. Use a code from `fleet invite` instead.',
    });
  }
  unanswered.length = 0;
  if (state.current?.pendingCode !== gatewayCode) state.save({ ...known, pairing, epoch, pendingCode: gatewayCode });
  return { pendingCode: gatewayCode, retryAfterMs };
}

/** Gets a fresh token over the same challenge, without an invite. */
export async function renewToken(
  options: ConnectOptions,
  connection: Pick<SshConnection, 'hostKey'>,
  client: GatewayClient,
): Promise<void> {
  const { state } = options;
  const result = await pair({ ...options, as: 'node', client, hostKey: connection.hostKey, invite: undefined });
  if (result.status !== 'paired') throw notPaired();
  const present = state.current as NodeState;
  state.save({ ...present, gateway: options.address, pairing: toPairing(result) });
  client.token = result.token;
}

/** A refused forward does not say why; the API does. */
async function offerForward(options: ConnectOptions, connection: SshConnection, client: GatewayClient): Promise<void> {
  try {
    await connection.forward(NODE_FORWARD.host, NODE_FORWARD.port, options.serveApi);
  } catch (error) {
    if (toFleetError(error).code !== 'forbidden') throw error;
    await sayHello(options, connection, client);
    throw error;
  }
}

/** Says hello, with a fresh token if the gateway refuses the present one. */
async function sayHello(
  options: ConnectOptions,
  connection: SshConnection,
  client: GatewayClient,
): Promise<NodeHelloAnswer> {
  const { facts, labels, journal, state, logger } = options;
  // A start without labels says nothing about those that it was paired with.
  const said = Object.keys(labels).length === 0 ? undefined : labels;
  const hello = { facts, labels: said, journal, epoch: state.current?.epoch, protocol: PROTOCOL_VERSION };
  let answer: NodeHelloAnswer;
  try {
    answer = await client.hello(hello);
  } catch (error) {
    if (toFleetError(error).code !== 'token_invalid') throw error;
    await renewToken(options, connection, client);
    answer = await client.hello(hello);
  }
  // Before the first heartbeat, by which the gateway knows that it is stored.
  if (answer.epoch !== undefined) state.change({ epoch: answer.epoch, pendingCode: undefined }, logger);
  if (answer.signingKeys !== undefined) state.changePairing({ signingKeys: answer.signingKeys }, logger);
  if (answer.isSuspected) logger.warn({}, 'the gateway has seen another machine with the key of this one');
  return answer;
}

function toPairing(
  result: Extract<Awaited<ReturnType<typeof pair>>, { status: 'paired' }>,
): NonNullable<NodeState['pairing']> {
  const { id, name, token, expiresAt, time, signingKeys } = result;
  return { id, name, token, tokenIssuedAt: time, tokenExpiresAt: expiresAt, signingKeys };
}

/** A request that broke because the connection did: the connection's own end says more. */
async function explain(error: unknown, connection: SshConnection): Promise<FleetError> {
  const failure = toFleetError(error);
  if (failure.code !== 'connection_lost') return failure;
  const { reason } = await connection.closed;
  return new FleetError('connection_lost', `the gateway ended the connection: ${reason}`, { cause: error });
}

function notPaired(): FleetError {
  return new FleetError('not_paired', 'the gateway does not know this node any more', {
    hint: 'Pair it again: fleet node up --gateway HOST --code CODE, with a code from `fleet invite` on the gateway.',
  });
}

/** For a node that was paired once, and keeps asking. */
export function forgotten(): FleetError {
  return new FleetError(
    'not_paired',
    'the gateway does not know this node any more: its database was lost or replaced',
    {
      hint: 'The node keeps asking. Restore the database of the gateway, or let the node in again there: fleet nodes pending',
    },
  );
}

/**
 * Before the first contact every key is taken, for then the invite's proof or the comparison code vouches for it.
 * @throws FleetError `host_key_changed` when the pinned address shows another key, `wrong_gateway` when another address does.
 */
function checkHostKey(shown: Buffer, address: Address, state: NodeState | undefined): void {
  if (state === undefined || shown.equals(Buffer.from(state.hostKey, 'base64'))) return;
  const pinned = formatFingerprint(Buffer.from(state.hostKey, 'base64'));
  const facts = { shown: formatFingerprint(shown), pinned };
  if (formatAddress(address) === formatAddress(state.gateway)) {
    throw new FleetError(
      'host_key_changed',
      `${formatAddress(address)} shows the host key ${facts.shown}, but ${pinned} is pinned`,
      {
        hint: 'Somebody may be in between. If the gateway was really set up anew, pair again under a new --name.',
        facts,
      },
    );
  }
  throw new FleetError(
    'wrong_gateway',
    `this node is paired with the gateway at ${formatAddress(state.gateway)}, not with ${formatAddress(address)}`,
    {
      hint: 'One machine can serve two gateways: give the second node another --name.',
      facts,
    },
  );
}
