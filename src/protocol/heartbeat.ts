/**
 * What a node says about itself every 30 seconds, and how far a gateway trusts the shape of it.
 *
 * A figure that the node could not read is null, never 0. A figure that makes no sense (a driver that reports 255 %) is
 * read as null too: one odd sensor must not make a live node look offline. What decides about status and work
 * (`at`, `node.version`, `runsActive`, `faults`, `accepting`) has to be right, or the heartbeat is refused.
 */
import { z } from 'zod';
import { amount, milliseconds, renamed, timeMs, word } from '../domain/bounded.ts';
import { cutText, stripControl } from '../shared/text.ts';

/** Most filesystems in one heartbeat; a node with more sends the fullest. */
export const MAX_HEARTBEAT_DISKS = 64;
/** Most faults in one heartbeat. */
export const MAX_HEARTBEAT_FAULTS = 16;
/** Longest fault, UTF-16 units. */
export const MAX_FAULT_LENGTH = 200;
/** Longest mount point, UTF-16 units. */
export const MAX_MOUNT_LENGTH = 256;

const percent = z.number().min(0).max(100);
/** Seconds; more than 300 years is a bug of the counter. */
const seconds = z.number().min(0).max(1e10);
const percentOrNull = percent.nullable().catch(null);
const amountOrNull = amount.nullable().catch(null);
const secondsOrNull = seconds.nullable().catch(null);
const millisecondsOrNull = milliseconds.nullable().catch(null);

const diskSchema = z.object({
  /** Mount point, or the drive on Windows. */
  mount: z.string().min(1).max(MAX_MOUNT_LENGTH).transform(stripControl),
  fsType: word(32),
  sizeBytes: amount,
  usedBytes: amount,
  /** As df counts it: used of what unprivileged users can ever use, so 100 means that writes fail. */
  usedPct: percent,
  /** Share of the possible files; absent where there is no such limit, and from older nodes. */
  inodesUsedPct: percentOrNull.optional(),
  /**
   * Whether it can be written: `ro` is mounted read-only and always was, `ro-fault` should be writable and isn't.
   * Left out where the system does not say, and by older nodes.
   */
  access: z.enum(['rw', 'ro', 'ro-fault']).optional().catch(undefined),
});

/** One physical filesystem; never a network or pseudo filesystem. */
export type DiskUsage = z.infer<typeof diskSchema>;

const batterySchema = z.object({ percent, charging: z.boolean() });

export type Battery = z.infer<typeof batterySchema>;

/** Since the heartbeat before; all interfaces that lead off the machine together. */
const networkSchema = z.object({
  rxBytesPerS: amountOrNull,
  txBytesPerS: amountOrNull,
  /** Packets, both directions together; left out by older nodes. */
  errorsPerS: amountOrNull.optional(),
  dropsPerS: amountOrNull.optional(),
});

/** Since the heartbeat before, or since the tunnel was opened. */
const tunnelSchema = z.object({
  /** Keepalive intervals in which nothing arrived from the gateway. */
  lostKeepalives: amountOrNull,
});

/** The node's own process. */
const nodeProcessSchema = z.object({
  version: z.string().min(1).max(64).transform(stripControl),
  rssBytes: amountOrNull,
  /** 99th percentile of how late the event loop was since the heartbeat before. */
  eventLoopLagMs: millisecondsOrNull,
  uptimeS: secondsOrNull,
});

/** One heartbeat. Keys that this version does not know are dropped, so that a newer node can talk to an older gateway. */
const heartbeat = z.object({
  /** When the figures were read, ms since the epoch on the node's clock, which may be wrong. */
  at: timeMs,
  /** When the machine started, on the same clock. */
  bootedAt: timeMs.nullable().catch(null),
  uptimeS: secondsOrNull,
  /** All cores together, since the heartbeat before; null in a node's first. */
  cpuPct: percentOrNull,
  /** Runnable processes, averaged; null where the system has no such figure (Windows). */
  load1: amountOrNull,
  load5: amountOrNull,
  load15: amountOrNull,
  cores: z.number().int().positive().nullable().catch(null),
  memTotalBytes: amountOrNull,
  /** Without what the kernel would give back at once (caches, buffers). */
  memUsedBytes: amountOrNull,
  swapTotalBytes: amountOrNull,
  swapUsedBytes: amountOrNull,
  disks: z.array(diskSchema).max(MAX_HEARTBEAT_DISKS).nullable().catch(null),
  network: networkSchema.nullable().catch(null),
  /** CPU temperature. */
  temperatureC: z.number().min(-100).max(250).nullable().catch(null),
  battery: batterySchema.nullable().catch(null),
  node: nodeProcessSchema,
  runsActive: z.number().int().nonnegative(),
  /** Round trip to the gateway through the tunnel, as the node measured it. */
  rttMs: millisecondsOrNull,
  /** Left out by older nodes. */
  tunnel: tunnelSchema.nullable().catch(null).optional(),
  /** What the node itself finds wrong (spool not writable, …). Not empty means status `error`. */
  faults: z.array(z.string().min(1).max(MAX_FAULT_LENGTH).transform(stripControl)).max(MAX_HEARTBEAT_FAULTS),
  /** Whether the node takes new runs. */
  accepting: z.boolean(),
  /** Whether a policy of the node's own restricts what it does. */
  policy: z.boolean().optional(),
});

/** Earlier nodes and stored samples have `agent` in place of `node`. */
export const heartbeatSchema = z.preprocess(renamed('agent', 'node'), heartbeat);

export type Heartbeat = z.infer<typeof heartbeatSchema>;

/** The part of a heartbeat that is read from the machine; the node's tunnel and runner know the rest. */
export type MetricsSample = Omit<Heartbeat, 'runsActive' | 'rttMs' | 'tunnel' | 'faults' | 'accepting' | 'policy'>;

/** Faults cut to what a heartbeat may carry: a long complaint must not cost the node its heartbeat. Empty ones are dropped. */
export function boundFaults(faults: readonly string[]): string[] {
  return faults
    .filter((fault) => fault !== '')
    .slice(0, MAX_HEARTBEAT_FAULTS)
    .map((fault) => stripControl(cutText(fault, MAX_FAULT_LENGTH)));
}

/** Used share of memory in percent; null when either figure is missing. */
export function memUsedPct(sample: Pick<Heartbeat, 'memTotalBytes' | 'memUsedBytes'>): number | null {
  const { memTotalBytes, memUsedBytes } = sample;
  if (memUsedBytes === null || !memTotalBytes) return null;
  return Math.min(100, (memUsedBytes / memTotalBytes) * 100);
}

/** Disks that can still fill up: one that is mounted read-only may be full by design. */
export function fillableDisks({ disks }: Pick<Heartbeat, 'disks'>): DiskUsage[] {
  return (disks ?? []).filter(({ access }) => access !== 'ro');
}

/** The largest share of the inodes of one disk in percent; null when none is known. */
export function mostInodesPct(sample: Pick<Heartbeat, 'disks'>): number | null {
  const shares = fillableDisks(sample).map((disk) => disk.inodesUsedPct ?? null);
  return largest(shares.filter((share) => share !== null));
}

/** The fullest disk in percent; null when no disk is known. */
export function fullestDiskPct(sample: Pick<Heartbeat, 'disks'>): number | null {
  return largest(fillableDisks(sample).map((disk) => disk.usedPct));
}

function largest(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.max(...values);
}
