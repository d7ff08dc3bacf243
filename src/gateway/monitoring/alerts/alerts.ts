/** Alerts as the gateway runs them: the engine, the outbox, the silences, and how all of it looks from outside. */
import type { AlertTestView, AlertView, DeliveryView } from '../../../protocol/alert-views.ts';
import type { Clock } from '../../../shared/clock.ts';
import { FleetError } from '../../../shared/errors.ts';
import { closeAll } from '../../../shared/lifecycle.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { ConnectEpochs } from '../../identity/connect-epochs.ts';
import type { Ages } from '../../store/durable-store.ts';
import type { HealthMonitor } from '../judge/monitor.ts';
import { AlertEngine } from './alert-engine.ts';
import { type AlertFigures, countAlerts } from './alert-figures.ts';
import type { AlertSettings } from './alert-settings.ts';
import type { AlertRow, AlertsStore } from './alerts-table.ts';
import type { AlertNotice } from './delivery/alert-message.ts';
import type { Attempt } from './delivery/attempt.ts';
import { Deliveries } from './delivery/deliveries.ts';
import type { DeliveryRow } from './delivery/deliveries-table.ts';
import { createSender } from './delivery/send-to-receiver.ts';
import { NodeSignals } from './node-signals.ts';
import { Silences, silencedUntil } from './silences.ts';
import type { SilenceRow } from './silences-table.ts';

/** So often, at the least and at the most, all nodes are looked at, ms; in between, twice in a heartbeat's interval. */
const LEAST_INTERVAL_MS = 100;
const MOST_INTERVAL_MS = 15_000;

export interface AlertsOptions {
  store: AlertsStore;
  ages: Ages;
  monitor: HealthMonitor;
  epochs: Pick<ConnectEpochs, 'suspicionOf'>;
  clock: Clock;
  logger: Logger;
  random: () => number;
  randomBytes: (size: number) => Uint8Array;
  /** Those of the start. */
  settings: AlertSettings;
  heartbeatIntervalMs: number;
  /** After the start of the gateway a node may take so long to come back, ms. */
  settlingMs: number;
  /** What the commands of receivers get besides the alert. */
  env: Readonly<Record<string, string | undefined>>;
  userAgent: string;
}

export class Alerts {
  readonly silences: Silences;
  readonly signals: NodeSignals;
  readonly #options: AlertsOptions;
  #settings: AlertSettings;
  readonly #engine: AlertEngine;
  readonly #deliveries: Deliveries;
  readonly #abortSending: () => void;

  constructor(options: AlertsOptions) {
    this.#options = options;
    this.#settings = options.settings;
    const settings = (): AlertSettings => this.#settings;
    const { send, abort } = createSender(options);
    this.#abortSending = abort;
    this.#deliveries = new Deliveries({ ...options, settings, send });
    this.signals = new NodeSignals(options);
    this.silences = new Silences({ ...options, settings });
    this.#engine = new AlertEngine({
      ...options,
      settings,
      signals: this.signals,
      deliveries: this.#deliveries,
      intervalMs: Math.min(MOST_INTERVAL_MS, Math.max(LEAST_INTERVAL_MS, options.heartbeatIntervalMs / 2)),
    });
  }

  /**
   * Other rules and receivers from now on: the next look ends alerts of rules that are gone. `alsoStore` writes in the same transaction.
   * @throws FleetError `storage_failed`.
   */
  async use(settings: AlertSettings, alsoStore: () => void = () => {}): Promise<void> {
    const before = this.#settings;
    this.#settings = settings;
    try {
      await this.#deliveries.dropUnknown(alsoStore);
    } catch (error) {
      this.#settings = before;
      throw error;
    }
  }

  /** Resolves when what waited from before the start is under way. */
  async start(): Promise<void> {
    this.#engine.start();
    await this.#deliveries.start();
  }

  /** Cuts off what is being sent; the next start sends it again. Idempotent. */
  async close(): Promise<void> {
    await closeAll(
      () => this.#engine.close(),
      () => this.#abortSending(),
      () => this.#deliveries.close(),
    );
  }

  /** Pending and firing ones, the critical first. */
  active(): AlertView[] {
    const { alerts } = this.#options.store;
    const rows = alerts.active().sort((a, b) => rank(a) - rank(b) || b.since - a.since);
    return this.#views(rows);
  }

  /** Of now and before, newest first. */
  latest(limit: number): AlertView[] {
    return this.#views(this.#options.store.alerts.latest(limit));
  }

  /** Firing ones of those nodes. */
  firingOf(nodes: readonly { id: string }[]): AlertView[] {
    const rows = this.#options.store.alerts.active().filter(({ state }) => state === 'firing');
    if (rows.length === 0) return [];
    const meant = new Set(nodes.map(({ id }) => id));
    return this.#views(rows.filter(({ nodeId }) => meant.has(nodeId)).sort((a, b) => rank(a) - rank(b)));
  }

  /** For graphs. */
  figures(): AlertFigures {
    const { store } = this.#options;
    const { rules, receivers } = this.#settings;
    return {
      alerts: countAlerts(rules, store.alerts.active(), this.silences.active()),
      waiting: receivers.map(({ name }) => ({ receiver: name, count: store.deliveries.waiting(name) })),
    };
  }

  /** Sends each receiver, or one of them, a message that says that it is a test, after `begin`. @throws FleetError `not_found`. */
  async test(name: string | undefined, begin: () => Promise<void> = async () => {}): Promise<AlertTestView[]> {
    const { clock } = this.#options;
    const { receivers } = this.#settings;
    const meant = name === undefined ? receivers : receivers.filter((receiver) => receiver.name === name);
    if (meant.length === 0) {
      const what = name === undefined ? 'there are no receivers' : `there is no receiver called ${name}`;
      const hint =
        receivers.length === 0
          ? 'Write them under gateway.alerts.notify in config.yaml, then: fleet gateway reload'
          : `The receivers: ${receivers.map((receiver) => receiver.name).join(', ')}`;
      throw new FleetError('not_found', what, { hint });
    }
    await begin();
    return await Promise.all(
      meant.map(async (receiver): Promise<AlertTestView> => {
        const startedAt = clock.monotonic();
        const attempt = await this.#deliveries.test(receiver.name, testNotice(clock.now()));
        return {
          receiver: receiver.name,
          kind: receiver.kind,
          delivered: attempt.kind === 'delivered',
          error: attempt.kind === 'delivered' ? null : failureText(attempt),
          durationMs: Math.round(clock.monotonic() - startedAt),
        };
      }),
    );
  }

  #views(rows: readonly AlertRow[]): AlertView[] {
    const silences = this.silences.active();
    const { deliveries } = this.#options.store;
    return rows.map((row) => alertView(row, silences, deliveries.ofAlert(row.id)));
  }
}

function alertView(row: AlertRow, silences: readonly SilenceRow[], deliveries: readonly DeliveryRow[]): AlertView {
  const { id, rule, severity, nodeName, state, summary, reason } = row;
  return {
    id,
    rule,
    severity,
    node: nodeName,
    state,
    since: iso(row.since),
    firedAt: isoOrNull(row.firedAt),
    resolvedAt: isoOrNull(row.resolvedAt),
    summary,
    reason,
    silencedUntil: state === 'resolved' ? null : isoOrNull(silencedUntil(silences, row)),
    deliveries: deliveries.map(deliveryView),
  };
}

function deliveryView({ id, batch, receiver, event, outcome, attempts, error, nextAt }: DeliveryRow): DeliveryView {
  return { id: batch ?? id, receiver, event, outcome, attempts, error, at: iso(nextAt) };
}

/** With the receiver's own words: only those who may test receivers see it. */
function failureText(attempt: Exclude<Attempt, { kind: 'delivered' }>): string {
  return 'detail' in attempt ? `${attempt.error}: ${attempt.detail}` : attempt.error;
}

function testNotice(now: number): AlertNotice {
  return {
    type: 'alert.test',
    timestamp: iso(now),
    data: {
      alert: 'test',
      rule: 'test',
      severity: 'warning',
      node: 'no-node',
      nodeId: '',
      labels: {},
      summary: 'a test of this receiver; nothing is wrong',
      since: iso(now),
      resolvedAt: null,
      reason: null,
    },
  };
}

/** Firing before pending, critical before warning. */
function rank({ state, severity }: AlertRow): number {
  return (state === 'firing' ? 0 : 2) + (severity === 'critical' ? 0 : 1);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : iso(ms);
}
