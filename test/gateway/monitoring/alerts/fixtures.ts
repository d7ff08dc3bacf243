/** Alerts with a real store, a clock that the test turns, nodes that are as the test says, and receivers that the test plays. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { resolveGatewayConfig } from '../../../../src/gateway/config.ts';
import type { Attempt } from '../../../../src/gateway/monitoring/alerts/attempt.ts';
import type { AlertRule } from '../../../../src/gateway/monitoring/alerts/config.ts';
import { Deliveries } from '../../../../src/gateway/monitoring/alerts/deliveries.ts';
import { AlertEngine } from '../../../../src/gateway/monitoring/alerts/engine.ts';
import type { AlertMessage } from '../../../../src/gateway/monitoring/alerts/message.ts';
import { NodeSignals } from '../../../../src/gateway/monitoring/alerts/node-signals.ts';
import type { AlertReceiver } from '../../../../src/gateway/monitoring/alerts/receivers.ts';
import type { NodeHealth } from '../../../../src/gateway/monitoring/judge/monitor.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { silentLogger } from '../../../../src/shared/logger.ts';
import { settle } from '../../../support/deadline.ts';
import { agesOf, FakeClock } from '../../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { FACTS } from '../../identity/fixtures.ts';
import { HEALTHY } from '../judge/healthy-heartbeat.ts';

export const INTERVAL_MS = 15_000;
export const SETTLING_MS = 90_000;

export function healthy(now: number, change: Partial<NodeHealth> = {}): NodeHealth {
  return {
    status: 'online',
    reasons: [],
    latest: { at: now, skewMs: 0, beat: HEALTHY },
    link: { score: 100, meanRttMs: 1, jitterMs: 0, lostPct: 0, reconnectsPerHour: 0 },
    machineScore: 100,
    ...change,
  };
}

export const OFFLINE: Partial<NodeHealth> = { status: 'offline', reasons: ['no session'] };

export interface Sent {
  receiver: string;
  /** Of the receiver, if it has one. */
  url: string;
  id: string;
  message: AlertMessage;
}

export function alertWorld(t: TestContext, section: { rules: object[]; notify?: object[]; groupWait?: string }) {
  const clock = new FakeClock();
  const file = path.join(tempFolder(t), 'fleet.db');
  // Most tests are about single alerts, and need not wait for others.
  const alerts = { groupWait: '0s', ...section };
  const { rules = [], notify, groupWait } = resolveGatewayConfig({ alerts }, {}, 'test').alerts;
  const world = {
    clock,
    rules: rules as readonly AlertRule[],
    receivers: notify as readonly AlertReceiver[],
    /** What the monitor says of a node; healthy when it says nothing. */
    health: new Map<string, Partial<NodeHealth>>(),
    sent: [] as Sent[],
    /** What the receivers answer. */
    answer: (_sent: Sent): Attempt | Promise<Attempt> => ({ kind: 'delivered' }),
    store: new Store(file),
    ...({} as { engine: AlertEngine; deliveries: Deliveries }),
    /** A gateway that begins with what is in the store. */
    async boot(settlingMs = 0): Promise<void> {
      const { store } = world;
      const monitor = { healthOf: ({ id }: { id: string }) => healthy(clock.now(), world.health.get(id)) };
      world.deliveries = new Deliveries({
        store,
        clock,
        logger: silentLogger,
        random: () => 0,
        settings: () => ({ receivers: world.receivers, groupWaitMs: groupWait }),
        send: async (receiver, id, message) => {
          const url = 'url' in receiver ? receiver.url : '';
          const sent = { receiver: receiver.name, url, id, message };
          world.sent.push(sent);
          return await world.answer(sent);
        },
      });
      world.engine = new AlertEngine({
        ages: agesOf(clock),
        store,
        monitor,
        signals: new NodeSignals({ store, monitor, epochs: { suspicionOf: () => undefined } }),
        deliveries: world.deliveries,
        clock,
        logger: silentLogger,
        settings: () => ({ rules: world.rules }),
        intervalMs: INTERVAL_MS,
        settlingMs,
      });
      world.engine.start();
      await world.deliveries.start();
    },
    /** What a killed process leaves is what is in the store; what it was sending is lost on its way. */
    async crash(settlingMs = 0): Promise<void> {
      await world.engine.close();
      const closing = world.deliveries.close();
      await settle();
      world.store.close();
      world.store = new Store(file);
      await world.boot(settlingMs);
      void closing;
    },
    addNode(name: string, labels: Record<string, string> = {}): void {
      const id = `id-${name}`;
      world.store.nodes.insert({
        id,
        name,
        publicKey: randomBytes(32),
        ownLabels: labels,
        labels: {},
        facts: FACTS,
        createdAt: 0,
      });
    },
    /** Time in which the gateway looks several times, and everything that is due happens. */
    async pass(ms: number): Promise<void> {
      for (let left = ms; left > 0; left -= INTERVAL_MS) {
        await clock.advance(Math.min(left, INTERVAL_MS));
        await settle();
      }
    },
    told: (): string[] => world.sent.map(({ receiver, message }) => `${receiver} ${message.type} ${message.data.node}`),
  };
  cleanUp(t, async () => {
    await world.engine.close();
    await world.deliveries.close();
    world.store.close();
  });
  return world;
}

export const HOOK = { name: 'hook', kind: 'webhook', url: 'http://localhost/' };
export const CHAT = { name: 'chat', kind: 'slack', url: 'http://localhost/' };
export const AWAY = { name: 'away', when: { status: 'offline' }, for: '1m', severity: 'critical' };
