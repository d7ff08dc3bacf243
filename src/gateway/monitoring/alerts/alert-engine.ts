/** Looks at all nodes again and again, keeps their alerts in the store, and puts out what somebody is to be told. */
import { setImmediate } from 'node:timers/promises';
import { parseSelector, type Selector, selectNodes } from '../../../domain/selector.ts';
import { randomBase32 } from '../../../shared/base32.ts';
import type { Clock, Timer } from '../../../shared/clock.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { NodeRecord } from '../../nodes/nodes-table.ts';
import type { Ages } from '../../store/durable-store.ts';
import type { HealthMonitor } from '../judge/monitor.ts';
import { type AlertChange, endAlert, lookAtAlert, noticeOf } from './alert-pass.ts';
import type { AlertRule } from './alert-rule.ts';
import type { AlertSettings } from './alert-settings.ts';
import type { AlertRow, AlertsStore } from './alerts-table.ts';
import type { Deliveries, NewNotice } from './delivery/deliveries.ts';
import { nodeFacts } from './node-facts.ts';
import type { NodeSignals } from './node-signals.ts';
import { silencedUntil } from './silences.ts';
import type { SilenceRow } from './silences-table.ts';

/** Nodes in one turn: a few ms of work, and one transaction. */
const TURN_NODES = 50;
const ID_LENGTH = 10;
/** Alerts that are over, and messages that are done, are kept so long, ms. */
const KEPT_MS = 30 * 86_400_000;
/** Of each, at one time. */
const PRUNED_ROWS = 200;
/** Between two times that old ones are deleted, ms. */
const PRUNE_INTERVAL_MS = 10 * 60_000;

export interface AlertEngineOptions {
  store: Pick<AlertsStore, 'write' | 'alerts' | 'deliveries' | 'silences' | 'nodes'>;
  monitor: Pick<HealthMonitor, 'healthOf'>;
  signals: NodeSignals;
  deliveries: Pick<Deliveries, 'enqueue' | 'kick'>;
  ages: Ages;
  clock: Clock;
  logger: Logger;
  randomBytes: (size: number) => Uint8Array;
  settings(): Pick<AlertSettings, 'rules'>;
  /** Between two looks at all nodes, ms. */
  intervalMs: number;
  /** So long after the start a node without a session may still be on its way back, ms. */
  settlingMs: number;
}

export class AlertEngine {
  readonly #options: AlertEngineOptions;
  /** A set of names may be a large one. */
  readonly #selectors = new WeakMap<AlertRule, Selector>();
  #startedAt = 0;
  #prunedAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #look: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: AlertEngineOptions) {
    this.#options = options;
  }

  start(): void {
    this.#startedAt = this.#options.clock.monotonic();
    this.#schedule();
  }

  /** Resolves when the look that is under way is stored. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#look;
  }

  /** One look at all nodes. A failure of the store changes nothing: the next look finds the same again. */
  async lookAtAll(): Promise<void> {
    const { store, clock, monitor, signals } = this.#options;
    const now = clock.now();
    // The same from the beginning of a look to its end.
    const { rules } = this.#options.settings();
    const nodes = store.nodes.all().filter((node) => node.revokedAt === null);
    const silences = store.silences.active(now);
    const rows = new Map(store.alerts.active().map((row) => [keyOf(row.rule, row.nodeId), row]));
    const watched = this.#watchedNodes(rules, nodes);
    signals.retain(new Set(nodes.map(({ id }) => id)));
    const isSettling = clock.monotonic() - this.#startedAt < this.#options.settlingMs;

    for (let begin = 0; begin < nodes.length && !this.#closed; begin += TURN_NODES) {
      const changes: { change: AlertChange; node: NodeRecord | undefined }[] = [];
      for (const node of nodes.slice(begin, begin + TURN_NODES)) {
        const health = monitor.healthOf(node);
        const facts = nodeFacts(health, signals.of(node.id, now));
        for (const rule of rules) {
          const key = keyOf(rule.name, node.id);
          if (!watched.get(rule.name)?.has(node.id)) continue;
          const row = rows.get(key);
          rows.delete(key);
          // It was connected when the gateway stopped, or it was not: that shows in a moment.
          if (isSettling && facts.status === 'offline') continue;
          const isSilenced = isSilencedNow(silences, row, rule, node);
          const change = lookAtAlert({ rule, node, facts, row, isSilenced, now }, () => this.#newId());
          if (change !== null) changes.push({ change, node });
        }
      }
      await this.#store(changes, now);
      await setImmediate();
    }
    if (this.#closed) return;
    await this.#endOrphans([...rows.values()], { rules, nodes, now });
    await this.#prune(now);
  }

  /** What is left belongs to a node or a rule that is gone, or to a node that its rule does not watch any more. */
  async #endOrphans(
    rows: readonly AlertRow[],
    { rules, nodes, now }: { rules: readonly AlertRule[]; nodes: readonly NodeRecord[]; now: number },
  ): Promise<void> {
    const changes = rows.map((row) => {
      const node = nodes.find(({ id }) => id === row.nodeId);
      const rule = rules.find(({ name }) => name === row.rule);
      const reason =
        node === undefined
          ? 'the node was removed or revoked'
          : rule === undefined
            ? 'the rule is no longer there'
            : 'the rule no longer watches the node';
      const change: AlertChange =
        row.state === 'pending' ? { row, isDropped: true, tell: undefined } : endAlert(row, rule, now, reason);
      return { change, node };
    });
    await this.#store(changes, now);
  }

  async #store(changes: readonly { change: AlertChange; node: NodeRecord | undefined }[], now: number): Promise<void> {
    if (changes.length === 0) return;
    const { store, deliveries, logger } = this.#options;
    await store.write(() => {
      const notices: NewNotice[] = [];
      for (const { change, node } of changes) {
        const { row, isDropped, tell } = change;
        if (isDropped) store.alerts.remove(row.id);
        else store.alerts.put(row);
        if (tell === undefined) continue;
        const { event } = tell;
        const receivers = event === 'resolved' ? (this.#receiversOf(row) ?? tell.receivers) : tell.receivers;
        notices.push({ receivers, alertId: row.id, event, notice: noticeOf(row, event, node?.labels ?? {}, now) });
      }
      deliveries.enqueue(notices);
    });
    for (const { row, isDropped } of changes.map(({ change }) => change)) {
      const facts = { alert: row.id, rule: row.rule, node: row.nodeName, summary: row.summary, reason: row.reason };
      if (row.state === 'resolved') logger.info(facts, 'alert resolved');
      else if (row.state === 'firing' && row.firedAt === now) logger.warn(facts, 'alert fires');
      else logger.debug({ ...facts, isDropped }, 'alert pending');
    }
    deliveries.kick();
  }

  /** Who was told that it fires: their rule may be another or gone by now. Null when that was too long ago. */
  #receiversOf(row: AlertRow): string[] | null {
    const told = this.#options.store.deliveries.ofAlert(row.id).filter(({ event }) => event === 'firing');
    return told.length === 0 ? null : told.map(({ receiver }) => receiver);
  }

  async #prune(now: number): Promise<void> {
    const { store, clock } = this.#options;
    if (clock.monotonic() - this.#prunedAt < PRUNE_INTERVAL_MS) return;
    this.#prunedAt = clock.monotonic();
    await store.write(() => {
      const before = this.#options.ages.cutoff(KEPT_MS);
      store.alerts.prune(before, PRUNED_ROWS);
      store.deliveries.prune(before, PRUNED_ROWS);
      store.silences.prune(now);
    });
  }

  /** Ids of the nodes that each rule watches. */
  #watchedNodes(rules: readonly AlertRule[], nodes: readonly NodeRecord[]): Map<string, ReadonlySet<string>> {
    const { monitor } = this.#options;
    const all = new Set(nodes.map(({ id }) => id));
    const selectable = rules.some(({ on }) => on !== null)
      ? nodes.map((node) => ({ ...node, status: monitor.healthOf(node).status }))
      : [];
    return new Map(
      rules.map((rule) => {
        const selector = this.#selectorOf(rule);
        if (selector === null) return [rule.name, all];
        return [rule.name, new Set(selectNodes(selector, selectable).nodes.map(({ id }) => id))];
      }),
    );
  }

  #selectorOf(rule: AlertRule): Selector | null {
    if (rule.on === null) return null;
    const selector = this.#selectors.get(rule) ?? parseSelector(rule.on);
    this.#selectors.set(rule, selector);
    return selector;
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(this.#options.intervalMs, () => {
      this.#look = this.lookAtAll()
        .catch((error: unknown) => this.#options.logger.error({ err: error }, 'alerts could not be looked at'))
        .finally(() => this.#schedule());
    });
  }

  #newId(): string {
    return randomBase32(ID_LENGTH, this.#options.randomBytes);
  }
}

function isSilencedNow(
  silences: readonly SilenceRow[],
  row: AlertRow | undefined,
  rule: AlertRule,
  node: NodeRecord,
): boolean {
  return silencedUntil(silences, { id: row?.id ?? '', rule: rule.name, nodeId: node.id }) !== null;
}

function keyOf(rule: string, nodeId: string): string {
  return `${rule} ${nodeId}`;
}
