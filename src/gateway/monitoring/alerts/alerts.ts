/** Alerts as the gateway runs them: engine, outbox and silences, and their views for the API. */
import type { AlertTestView, AlertView, DeliveryView } from '../../../protocol/alerts.ts';
import { isoTime } from '../../../shared/duration.ts';
import { FleetError } from '../../../shared/errors.ts';
import { closeAll } from '../../../shared/lifecycle.ts';
import type { Attempt } from './attempt.ts';
import type { AlertSettings } from './config.ts';
import { Deliveries, type DeliveriesOptions } from './deliveries.ts';
import { AlertEngine, type AlertEngineOptions } from './engine.ts';
import type { AlertNotice } from './message.ts';
import { NodeSignals, type NodeSignalsOptions } from './node-signals.ts';
import { requestFor } from './receivers.ts';
import { postWebhook, runAlertCommand } from './send.ts';
import { Silences, silencedUntil } from './silences.ts';
import type { AlertRow, AlertsStore, DeliveryRow, SilenceRow } from './tables.ts';

/** Minimum and maximum interval between evaluations of all nodes, ms; in between, half a heartbeat's interval. */
const MIN_INTERVAL_MS = 100;
const MAX_INTERVAL_MS = 15_000;

interface AlertsOptions
  extends Pick<AlertEngineOptions, 'monitor' | 'ages' | 'clock' | 'logger' | 'settlingMs'>,
    Pick<DeliveriesOptions, 'random'>,
    Pick<NodeSignalsOptions, 'epochs'> {
  store: AlertsStore;
  /** The initial ones. */
  settings: AlertSettings;
  heartbeatIntervalMs: number;
  /** The environment of receivers' commands, besides the alert's variables. */
  env: Readonly<Record<string, string | undefined>>;
}

/** `silenced`: firing without notifying. */
const COUNTED_STATES = ['pending', 'firing', 'silenced'] as const;

export class Alerts {
  readonly silences: Silences;
  readonly signals: NodeSignals;
  readonly #options: AlertsOptions;
  #settings: AlertSettings;
  readonly #engine: AlertEngine;
  readonly #deliveries: Deliveries;
  readonly #sending = new AbortController();

  constructor(options: AlertsOptions) {
    const { clock, env, heartbeatIntervalMs } = options;
    this.#options = options;
    this.#settings = options.settings;
    const settings = (): AlertSettings => this.#settings;
    const sending = { clock, env, signal: this.#sending.signal };
    this.#deliveries = new Deliveries({
      ...options,
      settings,
      send: async (receiver, id, message) => {
        const request = requestFor(receiver, message, id, clock.now());
        return 'command' in request
          ? await runAlertCommand(request, id, message, sending)
          : await postWebhook(request, sending);
      },
    });
    this.signals = new NodeSignals(options);
    this.silences = new Silences({ ...options, settings });
    this.#engine = new AlertEngine({
      ...options,
      settings,
      signals: this.signals,
      deliveries: this.#deliveries,
      intervalMs: Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, heartbeatIntervalMs / 2)),
    });
  }

  /**
   * Replaces rules and receivers; the next evaluation ends alerts of removed rules. `alsoStore` writes in the same transaction.
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

  /** Resolves when what was waiting before the start is being sent. */
  async start(): Promise<void> {
    this.#engine.start();
    await this.#deliveries.start();
  }

  /** Aborts what is being sent; the next start sends it again. Idempotent. */
  async close(): Promise<void> {
    await closeAll(
      () => this.#engine.close(),
      () => this.#sending.abort(),
      () => this.#deliveries.close(),
    );
  }

  /** Pending and firing alerts, firing first, then critical. */
  active(): AlertView[] {
    const rows = this.#options.store.alerts.active();
    return this.#views(rows.sort((a, b) => rank(a) - rank(b) || b.since - a.since));
  }

  /** Current and past alerts, newest first. */
  latest(limit: number): AlertView[] {
    return this.#views(this.#options.store.alerts.latest(limit));
  }

  /** Firing alerts of those nodes, critical first. */
  firingOf(nodes: readonly { id: string }[]): AlertView[] {
    const rows = this.#options.store.alerts.active().filter(({ state }) => state === 'firing');
    if (rows.length === 0) return [];
    const meant = new Set(nodes.map(({ id }) => id));
    return this.#views(rows.filter(({ nodeId }) => meant.has(nodeId)).sort((a, b) => rank(a) - rank(b)));
  }

  /** Counts for graphs, of alerts and of messages in the outbox. Every rule has its zeros, so that a graph shows the time before. */
  figures() {
    const { store } = this.#options;
    const { rules, receivers } = this.#settings;
    const silences = this.silences.active();
    const zeros = rules.flatMap(({ name: rule, severity }) =>
      COUNTED_STATES.map((state) => ({ rule, severity, state, count: 0 })),
    );
    const alerts = new Map(zeros.map((entry) => [`${entry.rule} ${entry.severity} ${entry.state}`, entry]));
    for (const row of store.alerts.active()) {
      const { rule, severity } = row;
      const isSilenced = row.state === 'firing' && silencedUntil(silences, row) !== null;
      const state = isSilenced ? 'silenced' : row.state === 'firing' ? 'firing' : 'pending';
      const key = `${rule} ${severity} ${state}`;
      alerts.set(key, { rule, severity, state, count: (alerts.get(key)?.count ?? 0) + 1 });
    }
    return {
      alerts: [...alerts.values()],
      waiting: receivers.map(({ name }) => ({ receiver: name, count: store.deliveries.waiting(name) })),
    };
  }

  /** Sends a test message to each receiver, or to one of them, after `begin`. @throws FleetError `not_found`. */
  async test(name: string | undefined, begin: () => Promise<void> = async () => {}): Promise<AlertTestView[]> {
    const { clock } = this.#options;
    const { receivers } = this.#settings;
    const meant = name === undefined ? receivers : receivers.filter((receiver) => receiver.name === name);
    if (meant.length === 0) {
      const what = name === undefined ? 'there are no receivers' : `there is no receiver called ${name}`;
      const hint =
        receivers.length === 0
          ? 'Add one under gateway.alerts.notify in config.yaml, then: fleet gateway reload'
          : `Receivers: ${receivers.map((receiver) => receiver.name).join(', ')}`;
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
    since: isoTime(row.since),
    firedAt: isoTime(row.firedAt),
    resolvedAt: isoTime(row.resolvedAt),
    summary,
    reason,
    silencedUntil: state === 'resolved' ? null : isoTime(silencedUntil(silences, row)),
    deliveries: deliveries.map(deliveryView),
  };
}

function deliveryView({ id, batch, receiver, event, outcome, attempts, error, nextAt }: DeliveryRow): DeliveryView {
  return { id: batch ?? id, receiver, event, outcome, attempts, error, at: isoTime(nextAt) };
}

/** Includes the receiver's own words, which only those who may test receivers see. */
function failureText(attempt: Exclude<Attempt, { kind: 'delivered' }>): string {
  return 'detail' in attempt ? `${attempt.error}: ${attempt.detail}` : attempt.error;
}

function testNotice(now: number): AlertNotice {
  return {
    type: 'alert.test',
    timestamp: isoTime(now),
    data: {
      alert: 'test',
      rule: 'test',
      severity: 'warning',
      node: 'no-node',
      nodeId: '',
      labels: {},
      summary: 'a test of this receiver; nothing is wrong',
      since: isoTime(now),
      resolvedAt: null,
      reason: null,
    },
  };
}

/** Firing before pending, critical before warning. */
function rank({ state, severity }: AlertRow): number {
  return (state === 'firing' ? 0 : 2) + (severity === 'critical' ? 0 : 1);
}
