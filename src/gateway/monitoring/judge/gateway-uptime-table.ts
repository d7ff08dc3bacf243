/** When the gateway itself ran, so that time in which it could not see its nodes is not held against them. */
import type { Sqlite } from '../../store/database.ts';

/** How long nodes may take to come back after the gateway's start before that counts as their own absence, ms. */
const RECONNECT_MS = 90_000;

export interface Downtime {
  /** ms since the epoch. */
  from: number;
  to: number;
  /** Nodes may still be on their way back until then, ms. */
  settledAt: number;
}

export class GatewayUptimeTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      last: database.prepare('SELECT seen_at AS seenAt FROM gateway_runs ORDER BY id DESC LIMIT 1'),
      begin: database.prepare('INSERT INTO gateway_runs (started_at, seen_at) VALUES (@at, @at)'),
      seen: database.prepare(
        'UPDATE gateway_runs SET seen_at = max(seen_at, ?) WHERE id = (SELECT max(id) FROM gateway_runs)',
      ),
      downtimes: database.prepare(
        `SELECT "from", "to", "to" + ${RECONNECT_MS} AS settledAt FROM
           (SELECT lag(seen_at) OVER (ORDER BY id) AS "from", started_at AS "to" FROM gateway_runs)
         WHERE "from" < "to" AND "from" < @to AND "to" + ${RECONNECT_MS} > @from ORDER BY "from"`,
      ),
      forget: database.prepare(
        'DELETE FROM gateway_runs WHERE seen_at < ? AND id < (SELECT max(id) FROM gateway_runs) - 1',
      ),
    };
  }

  /** When the gateway was last seen running, ms; null if never. */
  lastSeenAt(): number | null {
    return (this.#statements.last.get() as { seenAt: number } | undefined)?.seenAt ?? null;
  }

  noteStart(at: number): void {
    this.#statements.begin.run({ at });
  }

  noteSeen(at: number): void {
    this.#statements.seen.run(at);
  }

  /** Times without a gateway that touch the period, oldest first. */
  downtimes(from: number, to: number): Downtime[] {
    return this.#statements.downtimes.all({ from, to }) as Downtime[];
  }

  /** Deletes what ended before `before`, ms. */
  forget(before: number): void {
    this.#statements.forget.run(before);
  }
}
