/** A process for the command line that is none: its output is kept, its signals come from the test. */
import { PassThrough, type Readable, Writable } from 'node:stream';
import type { DetachedMessage, SignalName, World } from '../../src/cli/context/command.ts';
import type { Services } from '../../src/cli/context/services.ts';
import { runCli } from '../../src/cli/main.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { FleetError } from '../../src/shared/errors.ts';

export interface CliResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  stdoutBytes: Buffer;
}

class Sink extends Writable {
  readonly chunks: Buffer[] = [];
  isTTY?: boolean;
  /** Throws this instead of writing. */
  failure: Error | undefined;

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    if (this.failure === undefined) this.chunks.push(chunk);
    callback(this.failure ?? null);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

const noService = (): never => {
  throw new FleetError('internal', 'this test starts no service');
};

export class TestWorld implements World {
  env: Record<string, string | undefined> = {};
  readonly stdout = new Sink();
  readonly stderr = new Sink();
  stdin: Readable = new PassThrough();
  stdinOpened = 0;
  stdinKind: World['stdinKind'];
  clock = systemClock;
  pid = 4242;
  self = { file: process.execPath, args: [] as string[] };
  reportToParent: World['reportToParent'];
  readonly told: DetachedMessage[] = [];
  services: Services = {
    startGateway: noService,
    startNode: noService,
    openRemote: noService,
    login: noService,
    logout: noService,
  };
  isAlive: (pid: number) => boolean = () => false;
  readonly #listeners = new Set<{ names: readonly SignalName[]; listener: (name: SignalName) => void }>();

  readonly homeFolder: string;

  constructor(homeFolder: string) {
    this.homeFolder = homeFolder;
  }

  osBytes: World['osBytes'] = () => undefined;

  readonly signals = {
    listen: (names: readonly SignalName[], listener: (name: SignalName) => void): (() => void) => {
      const entry = { names, listener };
      this.#listeners.add(entry);
      return () => void this.#listeners.delete(entry);
    },
  };

  /** Whether anybody has taken it over from the system's default. */
  signal(name: SignalName): boolean {
    const taken = [...this.#listeners].filter(({ names }) => names.includes(name));
    for (const { listener } of taken) listener(name);
    return taken.length > 0;
  }

  get listening(): number {
    return this.#listeners.size;
  }

  random = (): number => 0.5;
  userHome = (): string => this.homeFolder;
  hostname = (): string => 'this-machine';

  openStdin = (): Readable => {
    this.stdinOpened += 1;
    return this.stdin;
  };

  async run(...argv: string[]): Promise<CliResult> {
    const exitCode = await runCli(['--home', this.homeFolder, ...argv], this);
    const stdoutBytes = this.stdout.bytes;
    const result = {
      exitCode,
      stdout: stdoutBytes.toString('utf8'),
      stderr: this.stderr.bytes.toString('utf8'),
      stdoutBytes,
    };
    this.stdout.chunks.length = 0;
    this.stderr.chunks.length = 0;
    return result;
  }
}
