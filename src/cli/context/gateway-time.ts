/** The clock of the command line: what it shows is told by the gateway's time, because a laptop's may be days off. */
import type { Clock, Timer } from '../../shared/clock.ts';

/** Differences that the way of an answer and a busy machine explain, ms: within them, the own clock is as good. */
const NEAR_MS = 2_000;

/** What a Date can hold (ECMA-262, 21.4.1.1), ms. */
const MAX_DATE_MS = 8.64e15;

export class GatewayTime implements Clock {
  readonly #own: Clock;
  #aheadMs = 0;

  constructor(own: Clock) {
    this.#own = own;
  }

  /** The gateway has just said what time it is, ms since the epoch; not a number when it has not. */
  learn(gatewayMs: number): void {
    if (!(Math.abs(gatewayMs) <= MAX_DATE_MS)) return;
    const aheadMs = gatewayMs - this.#own.now();
    this.#aheadMs = Math.abs(aheadMs) < NEAR_MS ? 0 : aheadMs;
  }

  /** This machine's own, by which times are counted back before the gateway was asked anything. */
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
