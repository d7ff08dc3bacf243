/** What nodes call: pairing, hello, heartbeat, leave. A node speaks only for itself: who it is comes from its key, never from the body. */
import type { NodeHeartbeatAnswer, NodeHelloAnswer, RotateKeyAnswer } from '../../protocol/node-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { App } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import { actorOfKey } from '../audit/act.ts';
import type { PairingPeer } from '../identity/admission.ts';
import type { ConnectEpochs } from '../identity/connect-epochs.ts';
import { rotateNodeKey } from '../identity/keys.ts';
import { NodeClaims } from '../identity/node-claims.ts';
import { assertProtocol, type Pairing } from '../identity/pairing.ts';
import type { KeyRing } from '../identity/signing-keys.ts';
import type { HealthMonitor } from '../monitoring/judge/monitor.ts';
import type { NodeRemoval } from '../nodes/node-removal.ts';
import { RateByKey } from '../nodes/rate-by-key.ts';
import type { Session, Sessions } from '../nodes/sessions.ts';
import type { Caller } from './authenticate.ts';
import type { ApiStore } from './find.ts';
import { type CutKeyOptions, cutKey } from './key-routes.ts';
import { addRoute } from './route.ts';

/** Hellos of one node at once, and the time after which it may say one more, ms: a node says one per connection. */
const HELLO_RATE = { burst: 20, refillMs: 1_000 } as const;
/** Heartbeats of one node at once; after that, four in the time in which one is due. */
const HEARTBEAT_BURST = 20;
const HEARTBEATS_PER_INTERVAL = 4;

interface NodeRoutesOptions extends CutKeyOptions {
  removal: Pick<NodeRemoval, 'finish'>;
  pairing: Pairing;
  epochs: ConnectEpochs;
  /** SSH host key, wire format. */
  hostKey: Buffer;
  keys: KeyRing;
  sessions: Sessions;
  monitor: HealthMonitor;
  store: ApiStore;
  clock: Clock;
  logger: Logger;
  heartbeatIntervalMs: number;
  /** Whether new capabilities of a node wait for an admin. */
  approveCapabilities?: boolean;
}

export function addNodeRoutes(app: App, options: NodeRoutesOptions): void {
  const { pairing, epochs, keys, sessions, monitor, store, clock } = options;
  const claims = new NodeClaims({ approveCapabilities: false, ...options });
  const hellos = new RateByKey({ clock, ...HELLO_RATE });
  const refillMs = options.heartbeatIntervalMs / HEARTBEATS_PER_INTERVAL;
  const heartbeats = new RateByKey({ clock, burst: HEARTBEAT_BURST, refillMs });

  addRoute(app, 'POST /v1/pair/challenge', (request, _reply, input) =>
    pairing.challenge(pairingPeer(request.caller), input()),
  );

  addRoute(app, 'POST /v1/pair/verify', (request, _reply, input) =>
    pairing.verify(pairingPeer(request.caller), input()),
  );

  addRoute(app, 'POST /v1/node/hello', async (request, _reply, input): Promise<NodeHelloAnswer> => {
    limitRate(hellos, request.caller);
    const { facts, journal, labels, protocol, epoch = null } = input();
    assertProtocol(protocol);
    const session = sessionOf(sessions, request.caller);
    const { hostname, machineId = null } = facts;
    const { publicKey, address } = pairingPeer(request.caller);
    const { node, next } = await store.write(() => {
      const known = store.nodes.byId(session.nodeId);
      if (known !== undefined) claims.receive(known, { facts, labels }, { publicKey, remoteAddress: address });
      const who = { address, hostname, machineId };
      const subject = { id: session.nodeId, name: session.nodeName };
      return { node: store.nodes.byId(session.nodeId), next: epochs.advance(subject, epoch, who) };
    });
    session.epoch = next.epoch;
    // A copied or restored disk has the journal's id, and not what came into the journal since: it is another journal.
    session.journal = next.branch === 0 ? journal : `${journal}/${next.branch}`;
    return {
      id: session.nodeId,
      name: node?.name ?? session.nodeName,
      time: clock.now(),
      heartbeatIntervalMs: options.heartbeatIntervalMs,
      epoch: next.epoch,
      isSuspected: next.isSuspected,
      signingKeys: session.signingKeys.announce(keys.acceptedRaw()),
    };
  });

  addRoute(app, 'POST /v1/node/rotate-key', async (request, reply, input): Promise<RotateKeyAnswer> => {
    const session = sessionOf(sessions, request.caller);
    const { publicKey, address } = pairingPeer(request.caller);
    const subject = { id: session.nodeId, name: session.nodeName };
    const peer = { publicKey, remoteAddress: address };
    await rotateNodeKey(options, subject, peer, input());
    // Their key does not count any more. The node may be back with the new one already.
    cutKey(publicKey, 'key_rotated', { caller: request.caller, reply }, options);
    return { time: clock.now() };
  });

  addRoute(app, 'POST /v1/node/heartbeat', async (request, _reply, input): Promise<NodeHeartbeatAnswer> => {
    const receivedAt = clock.monotonic();
    limitRate(heartbeats, request.caller);
    const session = sessionOf(sessions, request.caller);
    if (session.journal === undefined) throw new FleetError('bad_request', 'a heartbeat before hello');
    const beat = input('the heartbeat');
    const { epoch } = session;
    if (epoch !== undefined) await store.write(() => epochs.confirm(session.nodeId, epoch));
    session.epoch = undefined;
    session.signingKeys.acknowledge();
    await monitor.accept(session, beat);
    return {
      time: clock.now(),
      tookMs: clock.monotonic() - receivedAt,
      name: session.nodeName,
      signingKeys: session.signingKeys.announce(keys.acceptedRaw()),
    };
  });

  addRoute(app, 'POST /v1/node/leave', async (request, reply) => {
    const { nodeId } = sessionOf(sessions, request.caller);
    const node = store.nodes.byId(nodeId);
    const { publicKey, address } = pairingPeer(request.caller);
    const actor = actorOfKey({ publicKey, remoteAddress: address }, node?.name, 'node');
    await store.write(() => {
      store.nodes.remove(nodeId, clock.now());
      // What nodes say of themselves is not audited; that one is gone is.
      store.audit.append({ actor, action: 'node.leave', outcome: 'ok', details: { node: node?.name, id: nodeId } });
    });
    // The node hears that it worked before its tunnel, over which the answer goes, is cut.
    cutKey(publicKey, 'removed', { caller: request.caller, reply }, options);
    void request.caller.peer?.closed.then(() => node && options.removal.finish(node, node.name));
    return {};
  });
}

function limitRate(rate: RateByKey, { nodeId = '' }: Caller): void {
  if (rate.take(nodeId) === undefined) throw new FleetError('busy', 'this node says that too often');
}

function pairingPeer(caller: Caller): PairingPeer {
  if (caller.peer === undefined) throw new FleetError('forbidden', 'pairing needs an SSH connection');
  return { connection: caller.peer.id, publicKey: caller.peer.publicKey, address: caller.peer.remoteAddress };
}

function sessionOf(sessions: Sessions, caller: Caller): Session {
  const session = caller.nodeId === undefined ? undefined : sessions.ofPeer(caller.nodeId, caller.peer?.id ?? '');
  if (session === undefined) {
    throw new FleetError(
      'connection_lost',
      'this connection is not the tunnel of its node (another one of the same key replaced it)',
    );
  }
  return session;
}
