/** File descriptors: how many this process may have, and whether any is left. */
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Clock } from './clock.ts';
import { FleetError, systemErrorCode } from './errors.ts';
import type { Logger } from './logger.ts';
import { Periodic } from './periodic.ts';

/** What a gateway or a node opens before it does any work is about 30; the rest is for a few peers, commands and helpers. */
export const LEAST_DESCRIPTORS = 64;
/** Of a gateway's descriptors, those that connections of its SSH port never get: files, the API, commands for alerts. */
const RESERVED_DESCRIPTORS = 64;
/** Below this, a limit that keeps connections out is worth a warning even if nobody has asked for more than the default. */
const USUAL_DESCRIPTORS = 4096;
/** Interval between attempts to open one more, ms. */
const CHECK_INTERVAL_MS = 5_000;

/** Most descriptors that this process may have; Infinity where that cannot be found out. Node.js has put the soft limit at the hard one. */
export function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files +(\d+|unlimited) /m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** @throws FleetError `config_invalid` when `what` could not work with as few as this process may have. */
export function requireDescriptors(what: string, limit = descriptorLimit()): void {
  if (limit >= LEAST_DESCRIPTORS) return;
  throw new FleetError(
    'config_invalid',
    `${what} needs at least ${LEAST_DESCRIPTORS} open files, and may have ${limit}`,
    {
      hint: howToRaise(USUAL_DESCRIPTORS),
    },
  );
}

/** How many connections there are descriptors for, `wanted` at most; the log says so when it is fewer. */
export function affordableConnections(
  wanted: number,
  usual: number,
  logger: Pick<Logger, 'warn'>,
  limit = descriptorLimit(),
): number {
  const affordable = Math.min(wanted, limit - RESERVED_DESCRIPTORS);
  if (affordable < wanted && (wanted !== usual || limit < USUAL_DESCRIPTORS)) {
    const facts = { maxConnections: wanted, openFiles: limit, hint: howToRaise(wanted + RESERVED_DESCRIPTORS) };
    logger.warn(facts, `open files are enough for ${affordable} connections only`);
  }
  return Math.max(1, affordable);
}

function howToRaise(count: number): string {
  return `Raise the limit: ulimit -n ${count}, or LimitNOFILE=${count} in its systemd unit.`;
}

export interface DescriptorWatchOptions {
  clock: Clock;
  logger: Logger;
  /** Takes a descriptor and gives it back. @throws the system's error. */
  probe?: () => void;
}

/**
 * Looks now and then whether a descriptor is left. Where none is, the system cuts new connections before anybody here hears of them
 * (libuv, uv__emfile_trick), so nothing else would tell.
 */
export class DescriptorWatch {
  readonly #logger: Logger;
  readonly #probe: () => void;
  readonly #work: Periodic;
  #fault: string | null = null;

  constructor({ clock, logger, probe = openAndClose }: DescriptorWatchOptions) {
    this.#logger = logger;
    this.#probe = probe;
    this.#work = new Periodic({
      step: async () => this.#look(),
      onFailure: (error) => logger.error({ err: error }, 'could not see whether file descriptors are left'),
      retryMs: CHECK_INTERVAL_MS,
      clock,
    });
  }

  start(): void {
    this.#work.start(CHECK_INTERVAL_MS);
  }

  close(): Promise<void> {
    return this.#work.close();
  }

  /** As of the last look; null when all is well. */
  get fault(): string | null {
    return this.#fault;
  }

  get faults(): string[] {
    return this.#fault === null ? [] : [this.#fault];
  }

  #look(): number {
    const fault = this.#exhaustion();
    if (fault !== null && this.#fault === null) this.#logger.error({ fault }, 'no file descriptors are left');
    if (fault === null && this.#fault !== null) this.#logger.warn({}, 'there are file descriptors again');
    this.#fault = fault;
    return CHECK_INTERVAL_MS;
  }

  #exhaustion(): string | null {
    try {
      this.#probe();
      return null;
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENFILE') return 'the machine has too many open files (ENFILE): raise fs.file-max';
      if (code !== 'EMFILE') throw error;
      return `too many open files (EMFILE), ${descriptorLimit()} at most: ${howToRaise(2 * descriptorLimit())}`;
    }
  }
}

function openAndClose(): void {
  closeSync(openSync('/dev/null', 'r'));
}
