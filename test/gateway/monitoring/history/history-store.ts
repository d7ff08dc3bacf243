/** A store with nodes in it for tests of the history, and ways to look at what it keeps. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { HistoryTable } from '../../../../src/gateway/monitoring/history/history-table.ts';
import { type NodeHistory, readHistories } from '../../../../src/gateway/monitoring/history/node-history.ts';
import type { RolledUp } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { FACTS } from '../../identity/fixtures.ts';
import { NO_FIGURES } from './any-figures.ts';

export const NODES = ['a', 'b', 'c'];

export function openStore(t: TestContext, nodes: readonly string[] = NODES) {
  const file = path.join(tempFolder(t), 'fleet.db');
  let store = new Store(file);
  cleanUp(t, () => store.close());
  for (const id of nodes) {
    store.nodes.insert({
      id,
      name: id,
      publicKey: randomBytes(32),
      ownLabels: {},
      labels: {},
      facts: FACTS,
      createdAt: 0,
    });
  }
  return {
    file,
    get store() {
      return store;
    },
    reopen() {
      store.close();
      store = new Store(file);
    },
  };
}

export const figures = (cpuPct: number) => ({ ...NO_FIGURES, cpuPct, rttMs: cpuPct * 2 });

/** Rolls up all that is complete at `now`; in how many steps. */
export function rollUp(store: Store, now: number): number {
  let steps = 0;
  while (store.history.rollUp.step(now)) steps += 1;
  return steps;
}

/** Everything that a report shows of a node. */
export function shownOf(history: NodeHistory | undefined) {
  const shown = ['cpuPct', 'memUsedPct', 'diskUsedPct', 'rttMs'] as const;
  return shown.map((name) => ({ statistics: history?.statistics(name), series: history?.series(name) }));
}

/** What a report shows of each node, read as reports read it, and read without any day. */
export async function readBothWays(table: HistoryTable, period: { from: number; to: number; parts: number }) {
  const withoutDays = {
    nodeIds: () => table.nodeIds(),
    rows: table.rows.bind(table),
    rollUp: {
      completeUntil: (resolution: RolledUp) => (resolution === '1d' ? 0 : table.rollUp.completeUntil(resolution)),
    },
  };
  const [usual, plain] = await Promise.all([readHistories(table, period), readHistories(withoutDays, period)]);
  const shown = (histories: Map<string, NodeHistory>) =>
    [...histories].map(([id, history]) => [id, shownOf(history)]).sort();
  return { usual: shown(usual), plain: shown(plain) };
}
