/** Notices that the machine slept, or that its clock was set: the wall clock went further than the monotonic one. */
import type { Clock, Timer } from '../../shared/clock.ts';

/** Between two looks, ms. */
const LOOK_INTERVAL_MS = 2_000;
/** A difference that no scheduling delay explains, ms. */
const JUMP_MS = 10_000;

export class WakeDetector {
  readonly #clock: Clock;
  readonly #onWake: (jumpMs: number) => void;
  #timer: Timer | undefined;
  #offset = 0;

  constructor(clock: Clock, onWake: (jumpMs: number) => void) {
    this.#clock = clock;
    this.#onWake = onWake;
  }

  start(): void {
    this.#offset = this.#clock.now() - this.#clock.monotonic();
    this.#arm();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#timer = this.#clock.after(LOOK_INTERVAL_MS, () => this.#look(), { unref: true });
  }

  #look(): void {
    const offset = this.#clock.now() - this.#clock.monotonic();
    const jumpMs = offset - this.#offset;
    this.#offset = offset;
    this.#arm();
    if (Math.abs(jumpMs) >= JUMP_MS) this.#onWake(jumpMs);
  }
}
