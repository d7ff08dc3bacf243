/** A row of the run journal. */
import { createHash } from 'node:crypto';
import { type RunOutcome, type RunSpec, runOutcomeSchema } from '../../protocol/run-spec.ts';
import type { CommandExit, OutputCounters, RunPipes } from '../shim/messages.ts';
import type { KillCause } from './outcome.ts';

/** The FIFOs of a run, the shim that was ordered to start it, and, once it is started, its own control group. */
export interface RunPlace {
  pipes: RunPipes;
  shim: string;
  cgroup?: string;
}

export interface JournalRow {
  run: string;
  /** accepted: certainly not started. starting: perhaps started. started: `pid` is known. ended: `outcome` is known. */
  phase: 'accepted' | 'starting' | 'started' | 'ended';
  specDigest: string;
  place: RunPlace | null;
  pid: number | null;
  /** Of the process `pid`, from the process table. */
  identity: string | null;
  /** Gateway's time, ms. */
  startedAt: number | null;
  cause: KillCause | null;
  /** The command has exited, but something held its pipes. */
  exit: CommandExit | null;
  /** Whether stdin was not complete yet. */
  stdinOpen: boolean;
  /** As of the last orderly close, or of some moment after the log had taken the beginning of the output. */
  counters: OutputCounters | null;
  outcome: RunOutcome | null;
  /** Length of the whole log, bytes; 0 before the end. */
  logBytes: number;
  /** Whether the log's file is kept. */
  hasLog: boolean;
  acknowledgedAt: number | null;
}

export type SqlValue = string | number | null;
export type SqlRow = Record<string, SqlValue>;

export function parseRow(row: SqlRow): JournalRow {
  const json = (name: string): unknown => {
    const text = row[name];
    return typeof text === 'string' ? JSON.parse(text) : null;
  };
  const number = (name: string): number | null => (row[name] === null ? null : Number(row[name]));
  const outcome = json('outcome');
  return {
    run: String(row.run),
    phase: row.phase as JournalRow['phase'],
    specDigest: String(row.spec_digest),
    place: json('place') as RunPlace | null,
    pid: number('pid'),
    identity: row.identity === null ? null : String(row.identity),
    startedAt: number('started_at'),
    cause: row.cause as KillCause | null,
    exit: json('exit') as CommandExit | null,
    stdinOpen: row.stdin_open === 1,
    counters: json('counters') as OutputCounters | null,
    outcome: outcome === null ? null : runOutcomeSchema.parse(outcome),
    logBytes: Number(row.log_bytes),
    hasLog: row.has_log === 1,
    acknowledgedAt: number('acknowledged_at'),
  };
}

/** SHA-256 of the spec in hex, independent of the order of keys. */
export function specDigest(spec: RunSpec): string {
  const ordered = JSON.stringify(spec, (_key, value: unknown) =>
    typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(ordered).digest('hex');
}
