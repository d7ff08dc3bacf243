/** What nodes call: pairing, hello, heartbeat. A node speaks only for itself: who it is comes from its key, never from the body. */
import {
  type NodeHeartbeatAnswer,
  type NodeHelloAnswer,
  nodeHeartbeatRequest,
  nodeHelloRequest,
  pairChallengeRequest,
  pairVerifyRequest,
} from '../../protocol/node-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, parseInput } from '../../shared/http/fastify-app.ts';
import type { HealthMonitor } from '../health/monitor.ts';
import { assertProtocol, type Pairing, type PairingPeer } from '../identity/pairing.ts';
import type { Session, Sessions } from '../sessions.ts';
import type { Store } from '../store/store.ts';
import type { Caller } from './caller.ts';

export interface NodeRoutesOptions {
  pairing: Pairing;
  sessions: Sessions;
  monitor: HealthMonitor;
  store: Store;
  clock: Clock;
  heartbeatIntervalMs: number;
}

export function addNodeRoutes(app: App, options: NodeRoutesOptions): void {
  const { pairing, sessions, monitor, store, clock } = options;
  const pair = { config: { action: 'pair' as const } };
  const self = { config: { action: 'node.self' as const } };

  app.post('/v1/pair/challenge', pair, (request) =>
    pairing.challenge(pairingPeer(request.caller), parseInput(pairChallengeRequest, request.body)),
  );

  app.post('/v1/pair/verify', pair, (request) =>
    pairing.verify(pairingPeer(request.caller), parseInput(pairVerifyRequest, request.body)),
  );

  app.post('/v1/node/hello', self, async (request): Promise<NodeHelloAnswer> => {
    const { facts, journal, labels, protocol } = parseInput(nodeHelloRequest, request.body);
    assertProtocol(protocol);
    const session = sessionOf(sessions, request.caller);
    session.journal = journal;
    const node = await store.write(() => {
      store.nodes.setFacts(session.nodeId, facts);
      if (labels !== undefined) store.nodes.setOwnLabels(session.nodeId, labels);
      return store.nodes.byId(session.nodeId);
    });
    return {
      id: session.nodeId,
      name: node?.name ?? session.nodeName,
      time: clock.now(),
      heartbeatIntervalMs: options.heartbeatIntervalMs,
    };
  });

  app.post('/v1/node/heartbeat', self, async (request): Promise<NodeHeartbeatAnswer> => {
    const receivedAt = clock.monotonic();
    const session = sessionOf(sessions, request.caller);
    if (session.journal === undefined) throw new FleetError('bad_request', 'a heartbeat before hello');
    await monitor.accept(session, parseInput(nodeHeartbeatRequest, request.body, 'the heartbeat'));
    return { time: clock.now(), tookMs: clock.monotonic() - receivedAt, name: session.nodeName };
  });
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
