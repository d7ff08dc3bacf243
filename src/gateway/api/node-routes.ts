/** Routes of nodes: pairing, hello, heartbeat, leave. A node is identified by its key, never by what a body says. */
import { FleetError } from '../../shared/errors.ts';
import { actorOfKey } from '../audit/act.ts';
import type { PairingPeer } from '../identity/admission.ts';
import { rotateNodeKey } from '../identity/keys.ts';
import { NodeClaims } from '../identity/node-claims.ts';
import { assertProtocol } from '../identity/pairing.ts';
import { RateByKey } from '../nodes/rate-by-key.ts';
import type { Session, Sessions } from '../nodes/sessions.ts';
import type { Caller } from './authenticate.ts';
import { cutKey } from './key-routes.ts';
import type { ApiContext, Handlers } from './route.ts';

/** Burst of hellos of one node, and the time until the next is allowed, ms: a node sends one per connection. */
const HELLO_RATE = { burst: 20, refillMs: 1_000 } as const;
/** Burst of heartbeats of one node; after that, four per interval. */
const HEARTBEAT_BURST = 20;
const HEARTBEATS_PER_INTERVAL = 4;

export function nodeRoutes(context: ApiContext) {
  const { pairing, epochs, keys, sessions, monitor, store, clock, heartbeatIntervalMs } = context;
  const claims = new NodeClaims(context);
  const hellos = new RateByKey({ clock, ...HELLO_RATE });
  const refillMs = heartbeatIntervalMs / HEARTBEATS_PER_INTERVAL;
  const heartbeats = new RateByKey({ clock, burst: HEARTBEAT_BURST, refillMs });

  return {
    'POST /v1/pair/challenge': (request) => pairing.challenge(pairingPeer(request.caller), request.body),
    'POST /v1/pair/verify': (request) => pairing.verify(pairingPeer(request.caller), request.body),

    'POST /v1/node/hello': async (request) => {
      limitRate(hellos, request.caller);
      const { facts, journal, labels, protocol, epoch = null } = request.body;
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
      // A copied or restored disk has the journal's id but lacks its later entries: that is another journal.
      session.journal = next.branch === 0 ? journal : `${journal}/${next.branch}`;
      return {
        id: session.nodeId,
        name: node?.name ?? session.nodeName,
        time: clock.now(),
        heartbeatIntervalMs,
        epoch: next.epoch,
        isSuspected: next.isSuspected,
        signingKeys: session.signingKeys.announce(keys.acceptedRaw()),
      };
    },

    'POST /v1/node/rotate-key': async (request, reply) => {
      const { caller } = request;
      const session = sessionOf(sessions, caller);
      const { publicKey, address } = pairingPeer(caller);
      const subject = { id: session.nodeId, name: session.nodeName };
      await rotateNodeKey(context, subject, { publicKey, remoteAddress: address }, request.body);
      // Connections of the old key; the node may already be back with the new one.
      cutKey(publicKey, 'key_rotated', caller, reply, context);
      return { time: clock.now() };
    },

    'POST /v1/node/heartbeat': async (request) => {
      const receivedAt = clock.monotonic();
      limitRate(heartbeats, request.caller);
      const session = sessionOf(sessions, request.caller);
      if (session.journal === undefined) throw new FleetError('bad_request', 'a heartbeat before hello');
      const beat = request.body;
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
    },

    'POST /v1/node/leave': async ({ caller }, reply) => {
      const { nodeId } = sessionOf(sessions, caller);
      const node = store.nodes.byId(nodeId);
      const { publicKey, address } = pairingPeer(caller);
      const actor = actorOfKey({ publicKey, remoteAddress: address }, node?.name, 'node');
      await store.write(() => {
        store.nodes.remove(nodeId, clock.now());
        // What nodes report about themselves is not audited, but a removed node is.
        store.audit.append({ actor, action: 'node.leave', outcome: 'ok', details: { node: node?.name, id: nodeId } });
      });
      // The node gets its answer before the tunnel that carries it is cut.
      cutKey(publicKey, 'removed', caller, reply, context);
      void caller.peer?.closed.then(() => node && context.removal.finish(node, node.name));
      return {};
    },
  } satisfies Partial<Handlers>;
}

function limitRate(rate: RateByKey, { nodeId = '' }: Caller): void {
  if (rate.take(nodeId) === undefined) throw new FleetError('busy', 'this node sends that too often');
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
