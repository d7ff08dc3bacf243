/** A process under attack, seen from the attacker: alive or not, and how it feels. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { within } from '../../gateway/ssh/fixtures.ts';
import type { Vitals } from './self-watch.ts';

/** For a machine that is ten times slower than most. */
const ANSWER_MS = 30_000;

export class TargetProcess {
  readonly #child: ChildProcess;
  #stderr = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk).slice(-4_000);
    });
  }

  /** Starts a program that watches itself, or is made to; resolves with its first message. */
  static async start(
    program: string | URL,
    { args = [], preload, env = {} }: { args?: readonly string[]; preload?: URL; env?: Record<string, string> } = {},
  ): Promise<{ target: TargetProcess; first: unknown }> {
    const child = fork(program, args, {
      execArgv: ['--expose-gc', ...(preload === undefined ? [] : ['--import', preload.href])],
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    const target = new TargetProcess(child);
    return { target, first: await target.#message() };
  }

  /** Undefined while it lives; else how it ended. */
  get death(): string | undefined {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) return undefined;
    return `ended with ${exitCode ?? signalCode}: ${this.#stderr}`;
  }

  /** Its vitals since the last question, and the facts of its own. */
  async ask<Facts>(): Promise<Facts & { vitals: Vitals }> {
    this.#child.send('vitals');
    for (;;) {
      const message = await this.#message();
      // A service also tells who has started it that it is ready.
      if (typeof message === 'object' && message !== null && 'vitals' in message)
        return message as Facts & { vitals: Vitals };
    }
  }

  async stop(): Promise<void> {
    if (this.death !== undefined) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  async #message(): Promise<unknown> {
    const answered = new AbortController();
    const { signal } = answered;
    const exited = once(this.#child, 'exit', { signal }).then(() => {
      throw new Error(this.death);
    });
    const message = once(this.#child, 'message', { signal }).then(([first]) => first as unknown);
    try {
      return await within(ANSWER_MS, Promise.race([message, exited]), 'an answer of the process under attack');
    } finally {
      answered.abort();
    }
  }
}
