/** Evaluates all rules for all nodes at intervals, keeps their alerts in the store, and queues what receivers must get. */
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { parseSelector, selectNodes } from '../../../domain/selector.ts';
import { randomBase32 } from '../../../shared/base32.ts';
import type { Clock, Timer } from '../../../shared/clock.ts';
import { isoTime } from '../../../shared/duration.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { NodeRecord } from '../../nodes/nodes-table.ts';
import type { Ages } from '../../store/durable-store.ts';
import type { HealthMonitor } from '../judge/monitor.ts';
import { judgeCondition } from './conditions.ts';
import type { AlertRule, AlertSettings } from './config.ts';
import type { Deliveries, NewNotice } from './deliveries.ts';
import type { NodeSignals } from './node-signals.ts';
import { silencedUntil } from './silences.ts';
import { type AlertChange, endAlert, stepAlert } from './step.ts';
import type { AlertRow, AlertsStore } from './tables.ts';

/** Nodes per turn and transaction: a few ms of work. */
const TURN_NODES = 50;
const ID_LENGTH = 10;
/** Retention of resolved alerts and finished messages, ms. */
const KEPT_MS = 30 * 86_400_000;
/** Most rows deleted at a time, of each. */
const PRUNED_ROWS = 200;
const PRUNE_INTERVAL_MS = 10 * 60_000;

export interface AlertEngineOptions {
  store: Pick<AlertsStore, 'write' | 'alerts' | 'deliveries' | 'silences' | 'nodes'>;
  monitor: Pick<HealthMonitor, 'healthOf'>;
  signals: NodeSignals;
  deliveries: Pick<Deliveries, 'enqueue' | 'kick'>;
  ages: Ages;
  clock: Clock;
  logger: Logger;
  settings(): Pick<AlertSettings, 'rules'>;
  /** Interval between two evaluations of all nodes, ms. */
  intervalMs: number;
  /** Time after the start in which a node may still be reconnecting, ms. */
  settlingMs: number;
}

interface NodeChange extends AlertChange {
  rule: AlertRule | undefined;
  node: NodeRecord | undefined;
}

export class AlertEngine {
  readonly #options: AlertEngineOptions;
  #startedAt = 0;
  #prunedAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #evaluation: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: AlertEngineOptions) {
    this.#options = options;
  }

  start(): void {
    this.#startedAt = this.#options.clock.monotonic();
    this.#schedule();
  }

  /** Resolves when the evaluation in progress is stored. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#evaluation;
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(this.#options.intervalMs, () => {
      this.#evaluation = this.#evaluateAll()
        .catch((error: unknown) => this.#options.logger.error({ err: error }, 'alert rules could not be evaluated'))
        .finally(() => this.#schedule());
    });
  }

  /** A failure of the store changes nothing: the next evaluation finds the same. */
  async #evaluateAll(): Promise<void> {
    const { store, clock, monitor, signals, settings, settlingMs } = this.#options;
    const now = clock.now();
    // A reload in the middle waits for the next evaluation.
    const { rules } = settings();
    const nodes = store.nodes.all().filter((node) => node.revokedAt === null);
    const silences = store.silences.active(now);
    const rows = new Map(store.alerts.active().map((row) => [`${row.rule} ${row.nodeId}`, row]));
    const coverage = this.#coverageOf(rules, nodes);
    signals.retain(new Set(nodes.map(({ id }) => id)));
    const isSettling = clock.monotonic() - this.#startedAt < settlingMs;

    for (let begin = 0; begin < nodes.length && !this.#closed; begin += TURN_NODES) {
      const changes: NodeChange[] = [];
      for (const node of nodes.slice(begin, begin + TURN_NODES)) {
        const facts = signals.factsOf(node.id, monitor.healthOf(node), now);
        for (const rule of rules) {
          if (coverage.get(rule)?.has(node.id) === false) continue;
          const row = rows.get(`${rule.name} ${node.id}`);
          rows.delete(`${rule.name} ${node.id}`);
          // Whether it was connected when the gateway stopped will show in a moment.
          if (isSettling && facts.status === 'offline') continue;
          const judgement = judgeCondition(rule.when, facts, now);
          const isSilenced = silencedUntil(silences, { id: row?.id, rule: rule.name, nodeId: node.id }) !== null;
          const change = stepAlert({ rule, node, row, judgement, isSilenced, now }, newId);
          if (change !== null) changes.push({ ...change, rule, node });
        }
      }
      await this.#store(changes, now);
      await setImmediate();
    }
    if (this.#closed) return;
    await this.#store(orphanChanges([...rows.values()], { rules, nodes, now }), now);
    await this.#prune(now);
  }

  /** Ids of the nodes that a rule covers; rules without a selector, which cover all, have no entry. */
  #coverageOf(rules: readonly AlertRule[], nodes: readonly NodeRecord[]): Map<AlertRule, ReadonlySet<string>> {
    const selective = rules.filter(({ on }) => on !== null);
    const { monitor } = this.#options;
    const selectable =
      selective.length === 0 ? [] : nodes.map((node) => ({ ...node, status: monitor.healthOf(node).status }));
    return new Map(
      selective.map((rule) => {
        const { nodes: selected } = selectNodes(parseSelector(rule.on ?? ''), selectable);
        return [rule, new Set(selected.map(({ id }) => id))];
      }),
    );
  }

  async #store(changes: readonly NodeChange[], now: number): Promise<void> {
    if (changes.length === 0) return;
    const { store, deliveries, logger } = this.#options;
    await store.write(() => {
      const notices: NewNotice[] = [];
      for (const { row, isDropped, event, rule, node } of changes) {
        if (isDropped) store.alerts.remove(row.id);
        else store.alerts.put(row);
        if (event === null) continue;
        const receivers = (event === 'resolved' ? this.#notifiedOf(row) : null) ?? rule?.notify ?? null;
        notices.push({ receivers, alertId: row.id, event, notice: noticeOf(row, event, node?.labels ?? {}, now) });
      }
      deliveries.enqueue(notices);
    });
    for (const { row, isDropped } of changes) {
      const facts = { alert: row.id, rule: row.rule, node: row.nodeName, summary: row.summary, reason: row.reason };
      if (row.state === 'resolved') logger.info(facts, 'alert resolved');
      else if (row.state === 'firing' && row.firedAt === now) logger.warn(facts, 'alert fires');
      else logger.debug({ ...facts, isDropped }, 'alert pending');
    }
    deliveries.kick();
  }

  /** Receivers that were notified that it fires, whatever its rule says by now; null if that is no longer on record. */
  #notifiedOf(row: AlertRow): string[] | null {
    const firing = this.#options.store.deliveries.ofAlert(row.id).filter(({ event }) => event === 'firing');
    return firing.length === 0 ? null : firing.map(({ receiver }) => receiver);
  }

  async #prune(now: number): Promise<void> {
    const { store, clock, ages } = this.#options;
    if (clock.monotonic() - this.#prunedAt < PRUNE_INTERVAL_MS) return;
    this.#prunedAt = clock.monotonic();
    await store.write(() => {
      const before = ages.cutoff(KEPT_MS);
      store.alerts.prune(before, PRUNED_ROWS);
      store.deliveries.prune(before, PRUNED_ROWS);
      store.silences.prune(now);
    });
  }
}

/** Ends alerts whose node or rule is gone, or whose rule no longer covers the node. */
function orphanChanges(
  rows: readonly AlertRow[],
  { rules, nodes, now }: { rules: readonly AlertRule[]; nodes: readonly NodeRecord[]; now: number },
): NodeChange[] {
  return rows.map((row) => {
    const node = nodes.find(({ id }) => id === row.nodeId);
    const rule = rules.find(({ name }) => name === row.rule);
    const orphaned = rule === undefined ? 'the rule was removed' : 'the rule no longer covers the node';
    const reason = node === undefined ? 'the node was removed or revoked' : orphaned;
    return { ...endAlert(row, now, reason), rule, node };
  });
}

function noticeOf(
  row: AlertRow,
  event: 'firing' | 'resolved',
  labels: Record<string, string>,
  now: number,
): NewNotice['notice'] {
  return {
    type: `alert.${event}`,
    timestamp: isoTime(now),
    data: {
      alert: row.id,
      rule: row.rule,
      severity: row.severity,
      node: row.nodeName,
      nodeId: row.nodeId,
      labels,
      summary: row.summary,
      since: isoTime(row.since),
      resolvedAt: isoTime(row.resolvedAt),
      reason: row.reason,
    },
  };
}

function newId(): string {
  return randomBase32(ID_LENGTH, randomBytes);
}
