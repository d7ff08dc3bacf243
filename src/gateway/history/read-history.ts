/** Reads the history of all nodes, or of one, for a period: from the coarsest resolution that the period is served by. */
import { setImmediate } from 'node:timers/promises';
import {
  bucketMs,
  FIVE_MINUTES_MS,
  type HistoryRow,
  type HistoryTable,
  HOUR_MS,
  isAfter,
  type Place,
  type Resolution,
} from '../store/history-table.ts';
import { type HistoryPeriod, NodeHistory } from './node-history.ts';

/** Rows read at once: some milliseconds of work, after which everybody else has a turn. */
const CHUNK_ROWS = 1_000;

/** The finest resolution that is worth reading for parts of this length, ms. */
export function resolutionFor({ from, to, parts }: HistoryPeriod): Resolution {
  const partMs = (to - from) / parts;
  if (partMs >= HOUR_MS) return '1h';
  return partMs >= FIVE_MINUTES_MS / 2 ? '5m' : 'raw';
}

/**
 * The history of every node that has any, by its id. What is not rolled up yet is read from the finer resolution. A bucket counts
 * where its middle lies, so the edges of a long period are good to half an hour.
 */
export async function readHistories(table: HistoryTable, period: HistoryPeriod): Promise<Map<string, NodeHistory>> {
  const ids = table.nodeIds();
  const histories = new Map<string, NodeHistory>();
  for (const layer of layersOf(table, resolutionFor(period))) {
    const lengthMs = bucketMs(layer.resolution);
    const last = Math.floor(period.to / lengthMs);
    let after = { bucket: Math.floor(period.from / lengthMs) - 1, node: Number.MAX_SAFE_INTEGER, at: 0 };
    if (isAfter(layer.after, after)) after = { ...layer.after, at: Number.MAX_SAFE_INTEGER };
    for (;;) {
      const rows = table.rows(layer.resolution, after, last, CHUNK_ROWS);
      for (const row of rows) {
        if (!layer.has(row)) continue;
        const id = ids.get(row.node);
        if (id !== undefined) addRow(historyIn(histories, id, period), layer.resolution, row);
      }
      const end = rows.at(-1);
      if (end === undefined || rows.length < CHUNK_ROWS) break;
      after = end;
      await setImmediate();
    }
  }
  return histories;
}

/** The history of one node, by a look into each bucket. */
export function readHistory(table: HistoryTable, nodeId: string, period: HistoryPeriod): NodeHistory {
  const history = new NodeHistory(period);
  const node = table.numberOf(nodeId);
  if (node === undefined) return history;
  for (const layer of layersOf(table, resolutionFor(period))) {
    const lengthMs = bucketMs(layer.resolution);
    const last = Math.floor(period.to / lengthMs);
    const first = Math.max(Math.floor(period.from / lengthMs), layer.after.bucket);
    for (let bucket = first; bucket <= last; bucket += 1) {
      if (!layer.has({ bucket, node })) continue;
      for (const row of table.rowsOfNode(layer.resolution, bucket, node)) addRow(history, layer.resolution, row);
    }
  }
  return history;
}

interface Layer {
  resolution: Resolution;
  /** Nothing at or before this place is read from here. */
  after: Place;
  /** Whether a row of this resolution is not in a coarser one that is read as well. */
  has(place: Place): boolean;
}

/** From coarse to fine; together they hold every reading once. The cursors are read once, so rolling up meanwhile does no harm. */
function layersOf(table: HistoryTable, coarsest: Resolution): Layer[] {
  const start: Place = { bucket: -1, node: -1 };
  const beats: Place = coarsest === 'raw' ? start : table.cursor('5m');
  const hours: Place = coarsest === '1h' ? table.cursor('1h') : start;
  const hourOf = ({ bucket, node }: Place): Place => ({
    bucket: Math.floor((bucket * FIVE_MINUTES_MS) / HOUR_MS),
    node,
  });
  const layers: Layer[] = [{ resolution: 'raw', after: beats, has: (place) => isAfter(place, beats) }];
  if (coarsest === 'raw') return layers;
  layers.unshift({
    resolution: '5m',
    // Some nodes of the cursor's hour may be rolled up and others not.
    after: { bucket: (hours.bucket * HOUR_MS) / FIVE_MINUTES_MS - 1, node: Number.MAX_SAFE_INTEGER },
    has: (place) => isAfter(hourOf(place), hours) && !isAfter(place, beats),
  });
  if (coarsest === '1h') layers.unshift({ resolution: '1h', after: start, has: (place) => !isAfter(place, hours) });
  return layers;
}

function addRow(history: NodeHistory, resolution: Resolution, row: HistoryRow): void {
  if (resolution === 'raw') history.addHeartbeat(row.at, row.figures);
  else history.addBucket(row.at + bucketMs(resolution) / 2, row.figures);
}

function historyIn(histories: Map<string, NodeHistory>, id: string, period: HistoryPeriod): NodeHistory {
  const known = histories.get(id);
  if (known !== undefined) return known;
  const history = new NodeHistory(period);
  histories.set(id, history);
  return history;
}
