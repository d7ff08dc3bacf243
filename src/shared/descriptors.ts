/** File descriptors: the limit of this process, and whether any is left. */
import { closeSync, openSync } from 'node:fs';
import type { Clock } from './clock.ts';
import { FleetError, systemErrorCode } from './errors.ts';
import { FaultWatch } from './fault-watch.ts';
import type { Logger } from './logger.ts';
import { readOrEmpty } from './read-file.ts';

/** A gateway or node opens about 30 before it does any work; the rest is for a few peers, commands and helpers. */
export const LEAST_DESCRIPTORS = 64;
/** Kept from a gateway's SSH connections: for files, the API, alert commands. */
const RESERVED_DESCRIPTORS = 64;
/** Below this, a limit that keeps connections out is worth a warning even if the configuration has the default. */
const USUAL_DESCRIPTORS = 4096;

/** The limit of this process; Infinity if unknown. Node.js has raised the soft limit to the hard one. */
export function descriptorLimit(): number {
  const [, soft] = /^Max open files +(\d+|unlimited) /m.exec(readOrEmpty('/proc/self/limits')) ?? [];
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** @throws FleetError `config_invalid` when the limit is too low for `what`. */
export function requireDescriptors(what: string, limit = descriptorLimit()): void {
  if (limit >= LEAST_DESCRIPTORS) return;
  throw new FleetError(
    'config_invalid',
    `${what} needs at least ${LEAST_DESCRIPTORS} open files, but the limit is ${limit}`,
    { hint: howToRaise(USUAL_DESCRIPTORS) },
  );
}

/** How many connections there are descriptors for, at most `wanted`; logs a warning when it is fewer. */
export function affordableConnections(
  wanted: number,
  usual: number,
  logger: Pick<Logger, 'warn'>,
  limit = descriptorLimit(),
): number {
  const affordable = Math.min(wanted, limit - RESERVED_DESCRIPTORS);
  if (affordable < wanted && (wanted !== usual || limit < USUAL_DESCRIPTORS)) {
    const facts = { maxConnections: wanted, openFiles: limit, hint: howToRaise(wanted + RESERVED_DESCRIPTORS) };
    logger.warn(facts, `the limit on open files allows only ${affordable} connections`);
  }
  return Math.max(1, affordable);
}

function howToRaise(count: number): string {
  return `Raise the limit: ulimit -n ${count}, or LimitNOFILE=${count} in its systemd unit.`;
}

/**
 * Checks whether a descriptor is left, by taking one with `probe`. Without any, the system cuts new connections before anybody here
 * hears of them (libuv, uv__emfile_trick), so nothing else would report it.
 */
export function watchDescriptors({ clock, logger, probe = openAndClose }: DescriptorWatchOptions): FaultWatch {
  const find = (): string | null => {
    try {
      probe();
      return null;
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENFILE') return 'the machine has too many open files (ENFILE): raise fs.file-max';
      if (code !== 'EMFILE') return null;
      return `too many open files (EMFILE), the limit is ${descriptorLimit()}: ${howToRaise(2 * descriptorLimit())}`;
    }
  };
  const words = { onset: 'no file descriptors are left', end: 'there are file descriptors again' };
  return new FaultWatch({ find, ...words, clock, logger });
}

interface DescriptorWatchOptions {
  clock: Clock;
  logger: Logger;
  /** @throws the system's error. */
  probe?: () => void;
}

function openAndClose(): void {
  closeSync(openSync('/dev/null', 'r'));
}
