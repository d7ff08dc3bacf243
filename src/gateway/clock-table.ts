/** Deadlines that move along with a step of the gateway's clock, and its note of the time. Times are ms. */
import { prepareAll, type Sqlite } from './store/database.ts';

export interface ClockNote {
  /** Boot id of the machine; empty if the system has none. */
  boot: string;
  uptimeMs: number;
  wallMs: number;
  /** Nothing is deleted because of its age unless its age counts from here on; null if the clock was never set ahead. */
  agesFrom: number | null;
}

export class ClockTable {
  readonly #statements;
  readonly #shifts;

  constructor(database: Sqlite) {
    this.#statements = prepareAll(database, {
      read: 'SELECT boot, uptime_ms AS uptimeMs, wall_ms AS wallMs, ages_from AS agesFrom FROM clock_notes',
      note: `INSERT INTO clock_notes (id, boot, uptime_ms, wall_ms, ages_from) VALUES (1, @boot, @uptimeMs, @wallMs, @agesFrom)
         ON CONFLICT (id) DO UPDATE SET boot = excluded.boot, uptime_ms = excluded.uptime_ms, wall_ms = excluded.wall_ms,
           ages_from = excluded.ages_from`,
    });
    this.#shifts = [
      'UPDATE invites SET expires_at = expires_at + @byMs',
      'UPDATE runs SET expires_at = expires_at + @byMs WHERE ended_at IS NULL AND expires_at IS NOT NULL',
      'UPDATE alert_silences SET until = until + @byMs',
      "UPDATE alerts SET since = since + @byMs, clear_since = clear_since + @byMs WHERE state <> 'resolved'",
      `UPDATE alert_deliveries SET created_at = created_at + @byMs, next_at = next_at + @byMs WHERE outcome = 'waiting'`,
      'UPDATE removed_node_keys SET removed_at = removed_at + @byMs',
    ].map((sql) => database.prepare(sql));
  }

  read(): ClockNote | undefined {
    return this.#statements.read.get() as ClockNote | undefined;
  }

  note(note: ClockNote): void {
    this.#statements.note.run({ ...note, uptimeMs: Math.round(note.uptimeMs) });
  }

  /** Moves every stored deadline along with the clock, so that the remaining time stays the same. */
  shiftDeadlines(byMs: number): void {
    for (const shift of this.#shifts) shift.run({ byMs: Math.round(byMs) });
  }
}
