/** One live `fleet top`: polls the gateway, draws, and handles keys until the end. */
import type { GatewayClient } from '../../client/gateway-client.ts';
import { sleep } from '../../shared/clock.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { CliContext, JobControl } from '../context/command.ts';
import { EXIT_OF_SIGNAL, EXIT_OK } from '../output/exit-code.ts';
import { pageRows, renderTop, type TopFrame } from './render-top.ts';
import { type Key, Screen } from './screen.ts';
import { FIRST_STATE, pressKey, type TopState } from './top-state.ts';

/** How often to redraw, ms: the age of the data is shown in seconds. */
const TICK_MS = 1_000;
/** For a terminal of unknown size: that of the VT100. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };
interface TopSessionOptions {
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

  /** Resolves with the exit code once the terminal is restored. @throws FleetError if the first poll reaches no gateway. */
  async run(): Promise<number> {
    const { out, signals } = this.#context;
    await this.#ask();
    const unlisten = signals.listen(['SIGINT', 'SIGTERM', 'SIGHUP'], (name) => this.#end(EXIT_OF_SIGNAL[name]));
    const onGone = (): void => this.#end(EXIT_OK);
    out.gone.addEventListener('abort', onGone, { once: true });
    this.#jobControl = signals.jobControl?.({
      leave: () => this.#screen.leave(),
      comeBack: () => {
        // The shell or another program may have changed the terminal meanwhile.
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
      // A slow gateway must not delay leaving.
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

  /** Draws now, or once a slow terminal has taken the previous frame. */
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

  /** A bug must not leave the terminal in this state: it is reported once the terminal is restored. */
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
