/** Real processes for end-to-end tests: the built CLI of this checkout, in homes of its own, on ports that the kernel chose. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const FLEET = path.resolve(import.meta.dirname, '../../scripts/fleet');
/** A command that takes longer hangs. */
const COMMAND_DEADLINE_MS = 60_000;

export interface Result {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
  /** stdout as text. */
  text: string;
}

export interface RunOptions {
  home?: string;
  stdin?: Buffer | 'closed';
  env?: Record<string, string>;
  /** A command that takes longer hangs, ms; {@link COMMAND_DEADLINE_MS} unless told. */
  deadlineMs?: number;
  /** Program and arguments that the CLI is started through, such as `unshare -m`. */
  through?: readonly string[];
  /** Gets the process as soon as it runs, to send signals or close pipes. */
  onStart?(child: ChildProcess): void;
}

/** A service that runs until it is stopped. */
export interface Service {
  child: ChildProcess;
  /** Everything that it has written so far. */
  stdout(): string;
  stderr(): string;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** One temporary world: a gateway's home, homes of nodes, and the processes in them. */
export class FleetWorld {
  readonly folder: string;
  readonly home: string;
  readonly #services = new Set<Service>();
  port = 0;
  gateway: Service | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    this.home = path.join(folder, 'g');
  }

  static async create(): Promise<FleetWorld> {
    return new FleetWorld(await mkdtemp(path.join(tmpdir(), 'fleet-e2e-')));
  }

  /** Runs the CLI to its end. */
  fleet(args: string[], options: RunOptions = {}): Promise<Result> {
    return new Promise((resolve, reject) => {
      const [program = FLEET, ...words] = [...(options.through ?? []), FLEET, ...args];
      const child = spawn(program, words, { env: this.#env(options), stdio: ['pipe', 'pipe', 'pipe'] });
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
      child.stdin.on('error', () => undefined);
      child.stdin.end(Buffer.isBuffer(options.stdin) ? options.stdin : undefined);
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`fleet ${args.join(' ')} did not end; it said: ${Buffer.concat(stderr)}`));
      }, options.deadlineMs ?? COMMAND_DEADLINE_MS);
      child.once('error', reject);
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        const bytes = Buffer.concat(stdout);
        resolve({ code, signal, stdout: bytes, stderr: Buffer.concat(stderr).toString(), text: bytes.toString() });
      });
      options.onStart?.(child);
    });
  }

  /** {@link fleet}, and stdout as JSON; throws unless the exit code is as expected. */
  async json<T>(args: string[], code = 0): Promise<T> {
    const result = await this.fleet(args);
    if (result.code !== code)
      throw new Error(`fleet ${args.join(' ')}: ${result.code}: ${result.stderr}${result.text}`);
    return JSON.parse(result.text) as T;
  }

  /** Starts the gateway, on the port of before if there was one; resolves when it says that it is ready. */
  async startGateway(...args: string[]): Promise<Service> {
    this.gateway = await this.#start(['gateway', 'up', '--listen', `127.0.0.1:${this.port}`, ...args], {
      home: this.home,
    });
    const status = await this.json<{ listen: { port: number } }>(['gateway', 'status', '--json']);
    this.port = status.listen.port;
    return this.gateway;
  }

  /** Pairs a node by invite and starts it; resolves when it says that it is online. */
  async startNode(name: string, ...args: string[]): Promise<Service> {
    const { code } = await this.json<{ code: string }>(['invite', '--name', name, '--json']);
    return await this.resumeNode(name, '--code', code, ...args);
  }

  /** Starts a node that was paired before. */
  resumeNode(name: string, ...args: string[]): Promise<Service> {
    return this.startThrough([], name, ...args);
  }

  /** {@link resumeNode}, started by another program that becomes it. */
  startThrough(through: readonly string[], name: string, ...args: string[]): Promise<Service> {
    const options = { home: this.nodeHome(name), through };
    return this.#start(['node', 'up', '--gateway', `127.0.0.1:${this.port}`, ...args], options);
  }

  nodeHome(name: string): string {
    return path.join(this.folder, name);
  }

  /** Starts a service without waiting for anything. */
  spawn(args: string[], options: RunOptions = {}): Service {
    const [program = FLEET, ...words] = [...(options.through ?? []), FLEET, ...args];
    const child = spawn(program, words, { env: this.#env(options), stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk;
    });
    const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }));
    });
    const service = { child, stdout: () => stdout, stderr: () => stderr, exited };
    this.#services.add(service);
    return service;
  }

  /** Ends every process and removes every file. */
  async close(): Promise<void> {
    for (const service of this.#services) service.child.kill('SIGTERM');
    const late = setTimeout(() => {
      for (const service of this.#services) service.child.kill('SIGKILL');
    }, 10_000);
    await Promise.all([...this.#services].map((service) => service.exited));
    clearTimeout(late);
    // Of nodes that were killed, and not started again.
    for (const pid of await findShims(this.folder)) killIfThere(pid);
    // What still writes into the folder keeps it from being removed.
    await until(async () => (await findShims(this.folder)).length === 0, 'the end of the shims');
    await rm(this.folder, { recursive: true, force: true });
  }

  async #start(args: string[], options: RunOptions): Promise<Service> {
    const service = this.spawn(args, options);
    await Promise.race([
      until(() => service.stdout().includes('\n'), `fleet ${args.join(' ')} to be ready`),
      service.exited.then(({ code }) => {
        throw new Error(`fleet ${args.join(' ')} ended with ${code}: ${service.stderr()}`);
      }),
    ]);
    return service;
  }

  #env(options: RunOptions): NodeJS.ProcessEnv {
    const { PATH, HOME, LANG } = process.env;
    return { PATH, HOME, LANG, FLEET_HOME: options.home ?? this.home, ...options.env };
  }
}

/** Waits until `condition` holds. @throws when it does not within the deadline. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 20_000,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Processes that run the commands of nodes whose homes are in the folder. */
export async function findShims(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // Any may be gone by now.
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.some((word) => word.startsWith(folder) && word.endsWith('/shim.sock'))) found.push(Number(pid));
  }
  return found;
}

/** One that has just ended by itself is no fault. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Kills without mercy and waits until the process is gone. */
export async function kill9(service: Service): Promise<void> {
  service.child.kill('SIGKILL');
  await service.exited;
}

/** Whether the process still runs; one that has ended and waits to be reaped (proc_pid_stat(5), state Z) does not. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}
