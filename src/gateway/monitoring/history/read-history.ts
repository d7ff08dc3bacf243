/** Reads the history of all nodes, or of one, for a period: from the coarsest resolutions that the period is served by. */
import { setImmediate } from 'node:timers/promises';
import { layersOf } from './history-layers.ts';
import type { HistoryRow, HistoryTable } from './history-table.ts';
import { type HistoryPeriod, NodeHistory } from './node-history.ts';
import { bucketMs, isAfter, type Resolution } from './resolutions.ts';

/** Rows read at once: some milliseconds of work, after which everybody else has a turn. */
const CHUNK_ROWS = 1_000;

/** The history of every node that has any, by its id. */
export async function readHistories(
  table: Pick<HistoryTable, 'cursor' | 'lastNode' | 'nodeIds' | 'rows'>,
  period: HistoryPeriod,
): Promise<Map<string, NodeHistory>> {
  const ids = table.nodeIds();
  const histories = new Map<string, NodeHistory>();
  for (const { resolution, stretches, has } of layersOf(table, period)) {
    for (const { after: start, last } of stretches) {
      let after = { ...start, at: Number.MAX_SAFE_INTEGER };
      for (;;) {
        const rows = table.rows(resolution, after, last, CHUNK_ROWS);
        for (const row of rows) {
          const id = has(row) ? ids.get(row.node) : undefined;
          if (id !== undefined) addRow(historyIn(histories, id, period), resolution, row);
        }
        const end = rows.at(-1);
        if (end === undefined || rows.length < CHUNK_ROWS) break;
        after = end;
        await setImmediate();
      }
    }
  }
  return histories;
}

/** The history of one node, by a look into each bucket. */
export function readHistory(table: HistoryTable, nodeId: string, period: HistoryPeriod): NodeHistory {
  const history = new NodeHistory(period);
  const node = table.numberOf(nodeId);
  if (node === undefined) return history;
  for (const { resolution, stretches, has } of layersOf(table, period)) {
    for (const { after, last } of stretches) {
      const isFirstAfter = isAfter({ bucket: after.bucket, node }, after);
      for (let bucket = after.bucket + Number(!isFirstAfter); bucket <= last; bucket += 1) {
        if (!has({ bucket, node })) continue;
        for (const row of table.rowsOfNode(resolution, bucket, node)) addRow(history, resolution, row);
      }
    }
  }
  return history;
}

function addRow(history: NodeHistory, resolution: Resolution, { at, figures }: HistoryRow): void {
  if (resolution === 'raw') history.addHeartbeat(at, figures);
  else if (resolution === '1d') history.addDay(at, figures);
  else history.addBucket(at + bucketMs(resolution) / 2, figures);
}

function historyIn(histories: Map<string, NodeHistory>, id: string, period: HistoryPeriod): NodeHistory {
  const known = histories.get(id);
  if (known !== undefined) return known;
  const history = new NodeHistory(period);
  histories.set(id, history);
  return history;
}
