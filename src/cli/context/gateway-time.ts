/** The clock of the command line. Shows the gateway's time, because a laptop's clock may be days off. */
import type { Clock, Timer } from '../../shared/clock.ts';

/** Smaller differences are ignored, ms: latency and a busy machine explain them. */
const NEAR_MS = 2_000;

/** Largest value of a Date (ECMA-262, 21.4.1.1), ms. */
const MAX_DATE_MS = 8.64e15;

export class GatewayTime implements Clock {
  readonly #own: Clock;
  #aheadMs = 0;

  constructor(own: Clock) {
    this.#own = own;
  }

  /** Takes the gateway's time from its answer, ms since the epoch; NaN if it sent none. */
  learn(gatewayMs: number): void {
    if (!(Math.abs(gatewayMs) <= MAX_DATE_MS)) return;
    const aheadMs = gatewayMs - this.#own.now();
    this.#aheadMs = Math.abs(aheadMs) < NEAR_MS ? 0 : aheadMs;
  }

  /** This machine's time, for times counted back before the gateway has answered. */
  own(): number {
    return this.#own.now();
  }

  now(): number {
    return this.#own.now() + this.#aheadMs;
  }

  monotonic(): number {
    return this.#own.monotonic();
  }

  after(delayMs: number, callback: () => void, options?: { unref?: boolean }): Timer {
    return this.#own.after(delayMs, callback, options);
  }
}
