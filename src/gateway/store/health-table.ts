/** Heartbeats and the intervals in which each node had a live session. */
import type { Sqlite } from './database.ts';

export interface HeartbeatRow {
  nodeId: string;
  /** When the gateway received it, ms. */
  at: number;
  cpuPct: number | null;
  load1: number | null;
  memUsedPct: number | null;
  diskUsedPct: number | null;
  rttMs: number | null;
  skewMs: number | null;
}

export interface SessionRow {
  nodeId: string;
  connectedAt: number;
  seenAt: number;
  endedAt: number | null;
}

const BEAT_COLUMNS = `node_id AS nodeId, at, cpu_pct AS cpuPct, load1, mem_used_pct AS memUsedPct, disk_used_pct AS diskUsedPct,
  rtt_ms AS rttMs, skew_ms AS skewMs`;

export class HealthTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insertBeat: database.prepare(
        `INSERT OR REPLACE INTO heartbeats (node_id, at, cpu_pct, load1, mem_used_pct, disk_used_pct, rtt_ms, skew_ms, sample)
         VALUES (@nodeId, @at, @cpuPct, @load1, @memUsedPct, @diskUsedPct, @rttMs, @skewMs, @sample)`,
      ),
      lastBeat: database.prepare(
        'SELECT at, skew_ms AS skewMs, rtt_ms AS rttMs, sample FROM heartbeats WHERE node_id = ? ORDER BY at DESC LIMIT 1',
      ),
      beats: database.prepare(
        `SELECT ${BEAT_COLUMNS} FROM heartbeats WHERE node_id = ? AND at >= ? AND at < ? ORDER BY at`,
      ),
      pruneBeats: database.prepare(
        'DELETE FROM heartbeats WHERE (node_id, at) IN (SELECT node_id, at FROM heartbeats WHERE at < ? LIMIT ?)',
      ),
      openSession: database.prepare(
        'INSERT INTO sessions (node_id, address, connected_at, seen_at) VALUES (?, ?, ?, ?)',
      ),
      sessionSeen: database.prepare('UPDATE sessions SET seen_at = ? WHERE id = ?'),
      endSession: database.prepare(
        'UPDATE sessions SET ended_at = ?, seen_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL',
      ),
      closeStale: database.prepare(
        `UPDATE sessions SET ended_at = seen_at, end_reason = 'gateway_stopped' WHERE ended_at IS NULL`,
      ),
      sessions: database.prepare(
        `SELECT node_id AS nodeId, connected_at AS connectedAt, seen_at AS seenAt, ended_at AS endedAt FROM sessions
         WHERE node_id = ? AND connected_at < ? AND (ended_at IS NULL OR ended_at >= ?) ORDER BY connected_at`,
      ),
    };
  }

  insertHeartbeat(beat: HeartbeatRow & { sample: string }): void {
    this.#statements.insertBeat.run(beat);
  }

  /** The latest heartbeat of the node, its sample still as JSON. */
  lastHeartbeat(
    nodeId: string,
  ): { at: number; skewMs: number | null; rttMs: number | null; sample: string } | undefined {
    return this.#statements.lastBeat.get(nodeId) as ReturnType<HealthTable['lastHeartbeat']>;
  }

  heartbeats(nodeId: string, from: number, to: number): HeartbeatRow[] {
    return this.#statements.beats.all(nodeId, from, to) as HeartbeatRow[];
  }

  /** Deletes at most `limit` heartbeats from before `before`; how many went. */
  pruneHeartbeats(before: number, limit: number): number {
    return this.#statements.pruneBeats.run(before, limit).changes;
  }

  /** The new session's row. */
  openSession(nodeId: string, address: string, at: number): number {
    return Number(this.#statements.openSession.run(nodeId, address, at, at).lastInsertRowid);
  }

  sessionSeen(id: number, at: number): void {
    this.#statements.sessionSeen.run(at, id);
  }

  endSession(id: number, at: number, reason: string): void {
    this.#statements.endSession.run(at, at, reason, id);
  }

  /** After a crash of the gateway: sessions that were open then ended when they were last seen. */
  closeStaleSessions(): void {
    this.#statements.closeStale.run();
  }

  /** Sessions of the node that touch the period. */
  sessions(nodeId: string, from: number, to: number): SessionRow[] {
    return this.#statements.sessions.all(nodeId, to, from) as SessionRow[];
  }
}
