/** The intervals in which each node had a live session. */
import { prepareAll, type Sqlite } from '../store/database.ts';

interface SessionRow {
  nodeId: string;
  connectedAt: number;
  seenAt: number;
  endedAt: number | null;
  /** Time offline between the sessions of an old row that stands for several, ms. */
  awayMs: number;
}

interface JoinableRow {
  id: number;
  connectedAt: number;
  endedAt: number;
  awayMs: number;
}

/** Most sessions of one node that one step joins or deletes. */
const STEP_SESSIONS = 500;

export class SessionsTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = prepareAll(database, {
      openSession: 'INSERT INTO sessions (node_id, address, connected_at, seen_at) VALUES (?, ?, ?, ?)',
      sessionSeen: 'UPDATE sessions SET seen_at = ? WHERE id = ?',
      endSession: 'UPDATE sessions SET ended_at = ?, seen_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL',
      closeStale: `UPDATE sessions SET ended_at = max(seen_at, ?), end_reason = 'gateway_stopped' WHERE ended_at IS NULL`,
      sessions: `SELECT node_id AS nodeId, connected_at AS connectedAt, seen_at AS seenAt, ended_at AS endedAt, away_ms AS awayMs
         FROM sessions WHERE node_id = ? AND connected_at < ? AND (ended_at IS NULL OR ended_at >= ?) ORDER BY connected_at`,
      sessionsOf: `SELECT node_id AS nodeId, connected_at AS connectedAt, seen_at AS seenAt, ended_at AS endedAt, away_ms AS awayMs
         FROM sessions WHERE node_id IN (SELECT value FROM json_each(?)) AND connected_at < ?
           AND (ended_at IS NULL OR ended_at >= ?) ORDER BY connected_at`,
      firstSessions: `SELECT node_id AS nodeId, min(connected_at) AS at FROM sessions
         WHERE node_id IN (SELECT value FROM json_each(?)) GROUP BY node_id`,
      joinable: `SELECT id, connected_at AS connectedAt, ended_at AS endedAt, away_ms AS awayMs FROM sessions
         WHERE node_id = ? AND connected_at >= ? AND ended_at < ? ORDER BY connected_at, id LIMIT ${STEP_SESSIONS}`,
      lengthen: 'UPDATE sessions SET ended_at = ?, seen_at = ?, away_ms = ? WHERE id = ?',
      deleteSession: 'DELETE FROM sessions WHERE id = ?',
      forget: `DELETE FROM sessions WHERE id IN (
           SELECT id FROM sessions WHERE node_id = ? AND connected_at < ? AND ended_at < ? LIMIT ${STEP_SESSIONS})`,
    });
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

  /** After a crash of the gateway: sessions that were open ended when it was last seen, `at` (ms). */
  closeStaleSessions(at = 0): void {
    this.#statements.closeStale.run(at);
  }

  /** Sessions of the node that touch the period. */
  sessions(nodeId: string, from: number, to: number): SessionRow[] {
    return this.#statements.sessions.all(nodeId, to, from) as SessionRow[];
  }

  /** Sessions of these nodes that touch the period, by node. Asking for each alone takes ten times as long. */
  sessionsOf(nodeIds: readonly string[], from: number, to: number): Map<string, SessionRow[]> {
    const rows = this.#statements.sessionsOf.all(JSON.stringify(nodeIds), to, from) as SessionRow[];
    return Map.groupBy(rows, ({ nodeId }) => nodeId);
  }

  /** Start of the oldest known session of each of these nodes, ms. */
  firstSessionsAt(nodeIds: readonly string[]): Map<string, number> {
    const rows = this.#statements.firstSessions.all(JSON.stringify(nodeIds)) as { nodeId: string; at: number }[];
    return new Map(rows.map(({ nodeId, at }) => [nodeId, at]));
  }

  /**
   * Makes one row of sessions of the node that ended before `before`, began at or after `from`, and follow each other within
   * `gapMs`; the time away in between (what `awayMs` says of a gap) is kept as a sum, so no uptime changes. Where the next
   * step goes on; null at the end.
   */
  joinSessions(
    nodeId: string,
    from: number,
    before: number,
    gapMs: number,
    awayMs = ({ from: begin, to: end }: { from: number; to: number }): number => end - begin,
  ): number | null {
    const { joinable, lengthen, deleteSession } = this.#statements;
    const rows = joinable.all(nodeId, from, before) as JoinableRow[];
    let [whole] = rows;
    if (whole === undefined) return null;
    for (const row of rows.slice(1)) {
      if (row.connectedAt - whole.endedAt >= gapMs) {
        whole = row;
        continue;
      }
      whole.awayMs += row.awayMs;
      if (row.connectedAt > whole.endedAt) whole.awayMs += awayMs({ from: whole.endedAt, to: row.connectedAt });
      whole.endedAt = Math.max(whole.endedAt, row.endedAt);
      lengthen.run(whole.endedAt, whole.endedAt, whole.awayMs, whole.id);
      deleteSession.run(row.id);
    }
    return rows.length === STEP_SESSIONS ? whole.connectedAt : null;
  }

  /** Deletes some sessions of the node that ended before `before`, ms; how many went. */
  forgetSessions(nodeId: string, before: number): number {
    return this.#statements.forget.run(nodeId, before, before).changes;
  }
}
