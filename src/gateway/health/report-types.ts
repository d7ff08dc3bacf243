/** What goes into a health report and what comes out; the latter is what `fleet health report --format json` prints. */
import type { NodeStatus } from '../../protocol/node-status.ts';
import type { RunState } from '../../protocol/run-state.ts';
import type { Figure, Statistics } from './statistics.ts';

/** One heartbeat, or a roll-up of many, as the store keeps it. */
export interface ReportSample {
  /** ms since the epoch, gateway's clock; the start of the span when rolled up. */
  at: number;
  cpuPct: Figure;
  memUsedPct: Figure;
  /** Of the fullest disk. */
  diskUsedPct: Figure;
  rttMs: Figure;
}

/** What the store knows of one node. Times are ms since the epoch on the gateway's clock. */
export interface ReportRow {
  name: string;
  /** Now, with the reasons for it. */
  status: NodeStatus;
  reasons: readonly string[];
  /** When the node was paired. */
  joinedAt: number;
  samples: readonly ReportSample[];
  /** Times with a live session; `to` is null while it lives. May overlap. */
  sessions: readonly { from: number; to: number | null }[];
  /** Runs of the period by state. */
  runs: Readonly<Partial<Record<RunState, number>>>;
  /** How many of the `exited` runs ended with another code than 0. */
  exitedNonZero: number;
}

/** Percent. */
export interface ReportLimits {
  cpuPct: number;
  memUsedPct: number;
  diskUsedPct: number;
}

export interface ReportInput {
  /** ms since the epoch. */
  from: number;
  /** ms since the epoch, after `from`; usually now. */
  to: number;
  rows: readonly ReportRow[];
  /** Where `limited` begins, as the gateway is configured; charts mark it. The defaults unless given. */
  limits?: ReportLimits;
}

/** A time without a session, after the node joined. */
export interface Incident {
  /** ISO 8601; the period's start when the node was already gone. */
  start: string;
  /** Null when it goes on past the period. */
  end: string | null;
  /** Within the period. */
  durationMs: number;
}

export interface RunTotals {
  total: number;
  /** Not ended yet. */
  active: number;
  /** Exited 0. */
  succeeded: number;
  /** Ended in any other way than exit 0 or somebody's cancel. */
  failed: number;
  canceled: number;
}

export interface NodeReport {
  name: string;
  status: NodeStatus;
  reasons: string[];
  /** ISO 8601; null when the node is older than the period. */
  joinedAt: string | null;
  /** Share of the period, or of the part since the node joined, with a live session; null for a node without any such time. */
  uptimePct: number | null;
  offlineMs: number;
  cpuPct: Statistics | null;
  memUsedPct: Statistics | null;
  diskUsedPct: Statistics | null;
  rttMs: Statistics | null;
  incidents: Incident[];
  runs: RunTotals;
  series: ReportSeries;
}

export interface HealthReport {
  /** ISO 8601 UTC. */
  period: { from: string; to: string; durationMs: number };
  /** The worst of all nodes; null when there is no node. */
  status: NodeStatus | null;
  limits: ReportLimits;
  totals: {
    nodes: number;
    byStatus: Record<NodeStatus, number>;
    /** Mean over the nodes that have one. */
    uptimePct: number | null;
    incidents: number;
    offlineMs: number;
    runs: RunTotals;
  };
  /** Worst status first, then least uptime, then most failed runs, then by name. */
  nodes: NodeReport[];
}

/** A period cut into equal parts, for charts. One entry for each part, oldest first; null where nothing is known. */
export interface ReportSeries {
  /** Length of one part, ms. */
  partMs: number;
  /** Mean of the part. */
  cpuPct: (number | null)[];
  memUsedPct: (number | null)[];
  diskUsedPct: (number | null)[];
  rttMs: (number | null)[];
  /** Share of the part with a live session; null before the node joined. */
  onlinePct: (number | null)[];
}
