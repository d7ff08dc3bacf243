/** Tells a person, once each, why nothing happens: a node has not started, or something holds the output of a finished command. */

import type { RunState } from '../../domain/run-state.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { describeHeld } from '../output/describe-run.ts';

/** Delay before the note about nodes that have not started, ms. */
const WAITING_MS = 3000;

/** Delay before the note about held output, ms; the node reports it one second after the exit. */
const HELD_MS = 2000;

const NOT_STARTED: ReadonlySet<RunState> = new Set(['queued', 'delivered']);

export class WaitingNote {
  readonly #clock: Clock;
  readonly #note: (text: string) => void;
  /** Nodes that have not started, by index of the run. */
  readonly #waiting = new Map<number, string>();
  /** By index of the run. */
  readonly #held = new Map<number, Timer>();
  #runs = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, note: (text: string) => void) {
    this.#clock = clock;
    this.#note = note;
  }

  /** Takes every event of the job, in order. */
  see(event: JobEvent): void {
    if (event.type === 'job') {
      this.#runs = event.runs.length;
      for (const { index, node, state } of event.runs) if (NOT_STARTED.has(state)) this.#waiting.set(index, node);
      if (this.#waiting.size > 0) this.#timer ??= this.#clock.after(WAITING_MS, () => this.#noteWaiting());
    } else if ('index' in event && !(event.type === 'state' && NOT_STARTED.has(event.state))) {
      this.#waiting.delete(event.index);
      if (this.#waiting.size === 0) this.#timer?.cancel();
    }
    if (event.type === 'exited') {
      const words = `${event.node}: ${describeHeld(event)}`;
      this.#held.get(event.index)?.cancel();
      this.#held.set(
        event.index,
        this.#clock.after(HELD_MS, () => this.#note(words)),
      );
    } else if (event.type === 'end') {
      this.#held.get(event.index)?.cancel();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#timer?.cancel();
    for (const timer of this.#held.values()) timer.cancel();
  }

  #noteWaiting(): void {
    const [node] = this.#waiting.values();
    const what = this.#runs === 1 ? node : `${this.#waiting.size} of ${this.#runs} nodes`;
    this.#note(`still waiting for ${what} to start; Ctrl-C cancels the job`);
  }
}
