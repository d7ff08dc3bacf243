/** Starts the shim of a node, or finds the one that is there. */
import { closeSync, openSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { execa, type Options } from 'execa';
import { type Clock, sleep } from '../../shared/clock.ts';
import { FleetError, isNobodyListening } from '../../shared/errors.ts';

/** A shim that was started must be ready, and one that is there must answer, within this time, ms. */
const ANSWER_MS = 20_000;

export interface ShimOptions {
  /** The program: a script for this Node.js. */
  entry: string;
  /** The spool's. */
  folder: string;
  socket: string;
  /** Takes what a shim has to complain about. */
  logFile: string;
  /** Its own environment; commands get none of it. */
  env: NodeJS.ProcessEnv;
  clock: Clock;
}

/** Undefined if nobody listens there. */
export async function connectToShim(path: string): Promise<Socket | undefined> {
  const socket = createConnection(path);
  return await new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => {
      if (isNobodyListening(error)) resolve(undefined);
      else reject(new FleetError('storage_failed', `cannot connect to ${path}`, { cause: error }));
    });
  });
}

/** Resolves with the connection to a new one. @throws FleetError `storage_failed` */
export async function startShim({ entry, folder, socket: path, logFile, env, clock }: ShimOptions): Promise<Socket> {
  // Left by a shim that was killed; the journal's lock says that no other process of this node starts one now.
  rmSync(path, { force: true });
  const logFd = openSync(logFile, 'w', 0o600);
  try {
    // Execa's types know only the descriptors 0 to 2 by number; it takes any.
    const stdio = ['ignore', 'pipe', logFd] as unknown as ['ignore', 'pipe', 'ignore'] & Options['stdio'];
    const shim = execa(process.execPath, ['--max-semi-space-size=1', entry, folder, path], {
      cwd: '/',
      env,
      extendEnv: false,
      stdio,
      buffer: false,
      reject: false,
      cleanup: false,
      detached: true,
    });
    const child = shim.nodeChildProcess;
    const enough = new AbortController();
    const ready = new Promise((resolve) => child.stdout?.once('data', resolve));
    try {
      await Promise.race([ready, shim, tooLate(clock, enough.signal)]);
    } finally {
      enough.abort();
      child.stdout?.destroy();
      child.unref();
    }
    const connected = await connectToShim(path);
    if (connected !== undefined) return connected;
    throw new Error(`it ended with ${child.exitCode ?? child.signalCode ?? 'no word'}`);
  } catch (error) {
    throw new FleetError('storage_failed', 'cannot start the process that runs the commands (the shim)', {
      hint: `See ${logFile}.`,
      cause: error,
    });
  } finally {
    closeSync(logFd);
  }
}

/** @throws Error after a while, unless `signal` aborts. */
export async function tooLate(clock: Clock, signal: AbortSignal): Promise<never> {
  await sleep(clock, ANSWER_MS, signal);
  throw new Error('it does not answer');
}
