/** The gateway's time as the node knows it: every answer of the gateway sets it, the monotonic clock carries it on. */
import type { Clock } from '../../shared/clock.ts';

export class GatewayClock {
  readonly #clock: Clock;
  #reference: { gatewayMs: number; monotonicMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The gateway said `gatewayMs` in an answer that took `elapsedMs` to come: half of that ago. */
  set(gatewayMs: number, elapsedMs: number): void {
    this.#reference = { gatewayMs: gatewayMs + elapsedMs / 2, monotonicMs: this.#clock.monotonic() };
  }

  /** Best guess of the gateway's clock, whole ms; the own clock before the first answer. */
  now(): number {
    if (this.#reference === undefined) return this.#clock.now();
    return Math.round(this.#reference.gatewayMs + this.#clock.monotonic() - this.#reference.monotonicMs);
  }

  /** Own clock minus the gateway's, ms; null before the first answer. */
  skewMs(): number | null {
    return this.#reference === undefined ? null : this.#clock.now() - this.now();
  }
}
