/** The latest heartbeat of each node. */

import type { Sqlite } from '../../store/database.ts';
import type { HistoryStore } from '../history/history-table.ts';
import type { GatewayUptimeTable } from './gateway-uptime-table.ts';
import type { IncidentsTable } from './incidents-table.ts';

export interface HeartbeatRow {
  nodeId: string;
  /** When the gateway received it, ms. */
  at: number;
  rttMs: number | null;
  skewMs: number | null;
  /** The heartbeat as JSON. */
  sample: string;
  /** What the monitor remembers of the node, as JSON; null when an earlier version stored the row. */
  state: string | null;
}

export class HealthTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      putBeat: database.prepare(
        `INSERT INTO latest_heartbeats (node_id, at, skew_ms, rtt_ms, sample, state)
         VALUES (@nodeId, @at, @skewMs, @rttMs, @sample, @state)
         ON CONFLICT DO UPDATE SET at = excluded.at, skew_ms = excluded.skew_ms, rtt_ms = excluded.rtt_ms,
           sample = excluded.sample, state = excluded.state`,
      ),
      lastBeat: database.prepare(
        `SELECT node_id AS nodeId, at, skew_ms AS skewMs, rtt_ms AS rttMs, sample, state FROM latest_heartbeats
         WHERE node_id = ?`,
      ),
    };
  }

  /** Takes the place of the node's heartbeat before. */
  putHeartbeat(beat: HeartbeatRow): void {
    this.#statements.putBeat.run(beat);
  }

  /** The latest heartbeat of the node. */
  lastHeartbeat(nodeId: string): HeartbeatRow | undefined {
    return this.#statements.lastBeat.get(nodeId) as HeartbeatRow | undefined;
  }
}

/** The store as this folder, and those above it, see it. */
export interface JudgeStore extends HistoryStore {
  readonly health: HealthTable;
  readonly gatewayUptime: GatewayUptimeTable;
  readonly incidents: IncidentsTable;
}
