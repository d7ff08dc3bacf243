/**
 * Keeps steps of the wall clock from changing what was promised to last for a while. In memory such times are counted by the monotonic
 * clock; stored ones by the wall clock, whose steps this detects, also between two processes of one boot.
 */
import { readFileSync } from 'node:fs';
import { type Clock, StepDetector, type Timer } from '../shared/clock.ts';
import { formatDuration } from '../shared/duration.ts';
import type { Logger } from '../shared/logger.ts';
import { GATEWAY_ACTOR } from './audit/act.ts';
import type { AuditStore } from './audit/audit-log.ts';
import { prepareAll, type Sqlite } from './store/database.ts';
import type { Ages } from './store/durable-store.ts';

/** Interval between notes of the time, ms. */
const NOTE_INTERVAL_MS = 30_000;
/** Smallest difference that counts as a step, ms. */
const STEP_MS = 10_000;
/** A gateway that seems to have been down for longer than this, across a boot, may have a wrong clock, ms. */
const SUSPICIOUS_MS = 7 * 86_400_000;
/** Time for somebody to notice that before anything is deleted because of its age, ms. */
const HOLD_MS = 86_400_000;
/** How long after a step back nodes may still use the former time: two heartbeats and a margin, ms. */
const TELL_NODES_MS = 5 * 60_000;

interface ClockNote {
  /** Boot id of the machine; empty if the system has none. */
  boot: string;
  uptimeMs: number;
  wallMs: number;
  /** Nothing is deleted because of its age unless its age counts from here on; null if the clock was never set ahead. */
  agesFrom: number | null;
}

interface ClockGuardOptions {
  store: Pick<AuditStore, 'write' | 'writeSoon' | 'audit'> & { clock: ClockTable };
  clock: Clock;
  logger: Logger;
  /** Moves deadlines kept elsewhere. */
  onStep(byMs: number): void;
  /** Changes with each boot of the machine. */
  bootId?: string;
}

export class ClockGuard implements Ages {
  readonly #options: ClockGuardOptions;
  readonly #detector: StepDetector;
  readonly #boot: string;
  #agesFrom: number | null = null;
  /** Monotonic; nothing is deleted before. */
  #heldUntil = Number.NEGATIVE_INFINITY;
  #back = { byMs: 0, at: Number.NEGATIVE_INFINITY };
  #timer: Timer | undefined;
  #stepped: Promise<void> = Promise.resolve();

  constructor(options: ClockGuardOptions) {
    this.#options = options;
    this.#boot = options.bootId ?? readBootId();
    this.#detector = new StepDetector(
      options.clock,
      (byMs) => {
        this.#stepped = this.#step(byMs).catch((error: unknown) =>
          options.logger.error(
            { err: error, byMs },
            'the clock was set, and deadlines could not be moved along with it',
          ),
        );
      },
      () => this.#uptime(),
    );
  }

  /** Resolves when stored deadlines are right; call it before anything uses them. */
  async start(): Promise<void> {
    const { store, clock, logger } = this.#options;
    const last = store.clock.read();
    this.#agesFrom = last?.agesFrom ?? null;
    if (last !== undefined) {
      const passedMs = clock.now() - last.wallMs;
      const isSameBoot = this.#boot !== '' && last.boot === this.#boot && this.#uptime() >= last.uptimeMs;
      // Across a boot nobody knows how much time passed, only that it was not negative.
      const byMs = isSameBoot ? passedMs - (this.#uptime() - last.uptimeMs) : Math.min(0, passedMs);
      if (Math.abs(byMs) >= STEP_MS) await this.#step(byMs);
      else if (!isSameBoot && passedMs > SUSPICIOUS_MS) {
        this.#heldUntil = clock.monotonic() + HOLD_MS;
        const facts = { passed: formatDuration(passedMs), hold: formatDuration(HOLD_MS) };
        logger.warn(
          facts,
          'the clock says that the gateway was down for long; nothing is deleted because of its age for now',
        );
      }
    }
    await store.write(() => store.clock.note(this.#note()));
    this.#detector.start();
    this.#arm();
  }

  /** Idempotent; resolves when a step in progress has been handled. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#detector.close();
    await this.#stepped;
  }

  cutoff(keptMs: number): number {
    this.#detector.look();
    const { clock } = this.#options;
    const now = clock.now();
    const isHeld = clock.monotonic() < this.#heldUntil;
    return isHeld || (this.#agesFrom !== null && now - this.#agesFrom < keptMs) ? 0 : now - keptMs;
  }

  /** For signatures, which nodes check against the time that they last received: never behind that. */
  readonly nodeTime = (): number => {
    this.#detector.look();
    const { clock } = this.#options;
    return clock.now() + (clock.monotonic() - this.#back.at < TELL_NODES_MS ? this.#back.byMs : 0);
  };

  async #step(byMs: number): Promise<void> {
    const { store, clock, logger, onStep } = this.#options;
    const now = clock.now();
    if (byMs < 0) this.#back = { byMs: -byMs, at: clock.monotonic() };
    this.#agesFrom = byMs > 0 ? now : this.#agesFrom === null ? null : Math.min(now, this.#agesFrom);
    const by = `${formatDuration(Math.abs(byMs))} ${byMs > 0 ? 'ahead' : 'back'}`;
    logger.warn({ by }, 'the clock was set; deadlines move along with it, and nothing is deleted because of it');
    onStep(byMs);
    await store.write(() => {
      store.clock.shiftDeadlines(byMs);
      store.clock.note(this.#note());
      const details = { byMs: Math.round(byMs) };
      store.audit.append({ actor: GATEWAY_ACTOR, action: 'clock.step', outcome: 'ok', details });
    });
  }

  #note(): ClockNote {
    const wallMs = this.#options.clock.now();
    return { boot: this.#boot, uptimeMs: this.#uptime(), wallMs, agesFrom: this.#agesFrom };
  }

  #uptime(): number {
    const { clock } = this.#options;
    return clock.uptime?.() ?? clock.monotonic();
  }

  #arm(): void {
    const { store, clock, logger } = this.#options;
    const note = (): void => {
      this.#arm();
      this.#detector.look();
      store
        .writeSoon(() => store.clock.note(this.#note()))
        .catch((error: unknown) => logger.warn({ err: error }, 'could not note the time'));
    };
    this.#timer = clock.after(NOTE_INTERVAL_MS, note, { unref: true });
  }
}

/** Deadlines that move along with a step of the clock, and the note of the time. Times are ms. */
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

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Not Linux: each start counts as a boot.
    return '';
  }
}
