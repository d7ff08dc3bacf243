/**
 * Keeps steps of the wall clock from changing what was promised to last for a while. In memory such times are counted by the monotonic
 * clock; stored ones by the wall clock, whose steps this detects, also between two processes of one boot.
 */
import { readFileSync } from 'node:fs';
import { type Clock, StepDetector, type Timer } from '../shared/clock.ts';
import { formatDuration } from '../shared/duration.ts';
import type { Logger } from '../shared/logger.ts';
import { GATEWAY_ACTOR } from './audit/act.ts';
import type { ClockNote } from './clock-table.ts';
import type { Ages } from './store/durable-store.ts';
import type { Store } from './store.ts';

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

export interface ClockGuardOptions {
  store: Pick<Store, 'write' | 'writeSoon' | 'clock' | 'audit'>;
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

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Not Linux: each start counts as a boot.
    return '';
  }
}
