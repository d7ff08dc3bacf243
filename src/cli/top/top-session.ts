/** One live `fleet top`: asks the gateway again and again, shows what it knows, and follows the keys until somebody ends it. */
import type { GatewayClient } from '../../client/gateway-client.ts';
import { sleep } from '../../shared/clock.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { CliContext, JobControl } from '../context/context.ts';
import { EXIT_OF_SIGNAL, EXIT_OK } from '../output/exit-code.ts';
import { pageRows, renderTop, type TopFrame } from './render-top.ts';
import { type Key, Screen } from './screen.ts';
import { FIRST_STATE, pressKey, type TopState } from './top-state.ts';

/** The age of the data is shown in seconds, so it is drawn anew this often, ms. */
const TICK_MS = 1_000;
/** Of a terminal that does not tell its size: that of the VT100. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };
export interface TopSessionOptions {
  client: Pick<GatewayClient, 'health'>;
  intervalMs: number;
  unicode: boolean;
}

export class TopSession {
  readonly #context: CliContext;
  readonly #options: TopSessionOptions;
  readonly #stop = new AbortController();
  readonly #screen: Screen;
  #state: TopState = FIRST_STATE;
  #jobControl: JobControl | undefined;
  #exitCode = EXIT_OK;
  #failure: unknown;
  #drawing = false;
  #stale = false;

  constructor(context: CliContext, options: TopSessionOptions) {
    this.#context = context;
    this.#options = options;
    this.#screen = new Screen(context, {
      key: (key) => this.#guard(() => this.#press(key)),
      resize: () => this.#draw(),
      hangUp: () => this.#end(EXIT_OF_SIGNAL.SIGHUP),
    });
  }

  /** Resolves with the exit code once the terminal is as it was. @throws FleetError when the first question finds no gateway. */
  async run(): Promise<number> {
    const { out, signals } = this.#context;
    await this.#ask();
    const unlisten = signals.listen(['SIGINT', 'SIGTERM', 'SIGHUP'], (name) => this.#end(EXIT_OF_SIGNAL[name]));
    const onGone = (): void => this.#end(EXIT_OK);
    out.gone.addEventListener('abort', onGone, { once: true });
    this.#jobControl = signals.jobControl?.({
      leave: () => this.#screen.leave(),
      comeBack: () => {
        // The shell, or another program, may have changed the terminal since.
        this.#screen.leave();
        this.#screen.enter();
        this.#draw();
      },
    });
    try {
      this.#screen.enter();
      this.#draw();
      const ended = new Promise<void>((resolve) => {
        this.#stop.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      const work = Promise.all([this.#poll(), this.#tick()]);
      // A gateway that keeps us waiting must not keep anybody from leaving.
      await Promise.race([ended, work]);
    } finally {
      this.#stop.abort();
      unlisten();
      this.#jobControl?.end();
      out.gone.removeEventListener('abort', onGone);
      this.#screen.leave();
      await out.flush();
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.#exitCode;
  }

  async #poll(): Promise<void> {
    const { clock } = this.#context;
    while (!this.#stop.signal.aborted) {
      await sleep(clock, this.#options.intervalMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      await this.#ask().catch((error: unknown) => {
        this.#state = { ...this.#state, lost: toFleetError(error).message };
      });
      this.#draw();
    }
  }

  async #tick(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await sleep(this.#context.clock, TICK_MS, this.#stop.signal);
      this.#draw();
    }
  }

  async #ask(): Promise<void> {
    const { nodes } = await this.#options.client.health();
    this.#state = { ...this.#state, nodes, receivedAt: this.#context.clock.now(), lost: undefined };
  }

  #press(key: Key): void {
    if ('name' in key && key.name === 'stop') {
      this.#jobControl?.stop();
      return;
    }
    const next = pressKey(this.#state, key, pageRows(this.#frame()));
    if (next === undefined) {
      this.#end(EXIT_OK);
      return;
    }
    this.#state = next;
    this.#draw();
  }

  /** Draws now, or, while a slow terminal takes the frame before, once it has. */
  #draw(): void {
    this.#stale = true;
    if (this.#drawing || this.#stop.signal.aborted) return;
    this.#drawing = true;
    void this.#drawAll().finally(() => {
      this.#drawing = false;
    });
  }

  async #drawAll(): Promise<void> {
    while (this.#stale && !this.#stop.signal.aborted) {
      this.#stale = false;
      this.#guard(() => this.#screen.show(renderTop(this.#state, this.#frame())));
      await this.#context.out.ready();
    }
  }

  #frame(): TopFrame {
    const { out, clock } = this.#context;
    return { ...(out.size() ?? DEFAULT_SIZE), now: clock.now(), style: out.style, unicode: this.#options.unicode };
  }

  /** A defect must not leave the terminal as it is: it is told once the terminal is given back. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failure ??= error;
      this.#stop.abort();
    }
  }

  #end(exitCode: number): void {
    this.#exitCode = exitCode;
    this.#stop.abort();
  }
}
