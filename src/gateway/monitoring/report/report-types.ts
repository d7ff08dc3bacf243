/** What goes into a health report and what comes out; the latter is what `fleet health report --format json` prints. */

import type { NodeStatus } from '../../../domain/node-status.ts';
import type { RunState } from '../../../domain/run-state.ts';
import type { Severity } from '../../../protocol/alert-views.ts';
import type { DiskForecast } from '../history/forecast-disk.ts';
import type { ShownFigure } from '../history/shown-figures.ts';
import type { Downtime } from '../judge/gateway-uptime-table.ts';
import type { Statistics } from '../statistics.ts';

/** Figures of one node over the period of the report. */
export interface ReportHistory {
  statistics(name: ShownFigure): Statistics | null;
  /** Means of {@link SERIES_PARTS} equal parts, oldest first. */
  series(name: ShownFigure): (number | null)[];
}

/** What the store knows of one node. Times are ms since the epoch on the gateway's clock. */
export interface ReportRow {
  name: string;
  /** Now, with the reasons for it. */
  status: NodeStatus;
  reasons: readonly string[];
  /** 0 to 100, now; null when not known. */
  linkScore: number | null;
  machineScore: number | null;
  /** When the node's first session began: before that it cannot have been away. Null when it had none yet. */
  firstSessionAt: number | null;
  history: ReportHistory;
  /** Times with a live session; `to` is null while it lives. May overlap. `awayMs` of it the node was away after all. */
  sessions: readonly { from: number; to: number | null; awayMs?: number }[];
  /** Times without a gateway: nobody knows how the node was then. None unless given. */
  downtimes?: readonly Downtime[];
  /** Times at which the node was there, but not well; `to` is null while it goes on. */
  troubles: readonly { from: number; to: number | null; status: 'limited' | 'error'; reasons: readonly string[] }[];
  /** Disks that will be full. */
  forecasts: readonly (DiskForecast & { mount: string })[];
  /** Runs of the period by state. */
  runs: Readonly<Partial<Record<RunState, number>>>;
  /** How many of the `exited` runs ended with another code than 0. */
  exitedNonZero: number;
  /** None unless given. */
  alerts?: AlertCounts;
}

/** Alerts that fired within a period: each counts that fired at any time of it, or went on firing from before. */
export interface AlertCounts {
  fired: number;
  /** Of these, those that fire now. */
  firing: number;
}

/** What the alerts of all nodes together came to. */
export interface ReportAlerts {
  totals: HealthReport['totals']['alerts'];
  /** At most {@link MOST_ALERTS}. */
  worst: readonly ReportAlert[];
}

export interface ReportAlert {
  rule: string;
  severity: Severity;
  node: string;
  state: 'firing' | 'resolved';
  /** ISO 8601, also when that was before the period. */
  since: string;
  /** Null while it fires. */
  until: string | null;
  durationMs: number;
  /** Of one that fires: whether it is silenced now. Of one that is over: whether nobody was told because it was. */
  silenced: boolean;
  /** For a person, as of when it fired. */
  summary: string;
  /** When the end was not that the rule no longer holds. */
  reason: string | null;
}

/** Percent; infinite when off. */
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
  /** None unless given. */
  alerts?: ReportAlerts;
  downtimes?: readonly Downtime[];
}

/** A time at which a node was not online, after its first session. */
export interface Incident {
  status: Exclude<NodeStatus, 'online'>;
  /** ISO 8601; the period's start when it had begun before. */
  start: string;
  /** Null when it goes on past the period. */
  end: string | null;
  /** Within the period. */
  durationMs: number;
  /** Why, as far as it is known; empty for a node that was offline. */
  reasons: string[];
}

export interface ReportForecast {
  mount: string;
  /** ISO 8601. */
  fullAt: string;
  fullInMs: number;
  /** Percentage points. */
  risePctPerDay: number;
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
  linkScore: number | null;
  machineScore: number | null;
  /** ISO 8601: the node's first session, if that was within the period; else null. */
  joinedAt: string | null;
  /**
   * Share of the period, or of the part since the node's first session, with a live session; null without any such time.
   * Time in which the gateway was down does not count.
   */
  uptimePct: number | null;
  /** How often it was offline. */
  outages: number;
  offlineMs: number;
  cpuPct: Statistics | null;
  memUsedPct: Statistics | null;
  diskUsedPct: Statistics | null;
  rttMs: Statistics | null;
  /** By start. */
  incidents: Incident[];
  /** Soonest first. */
  forecasts: ReportForecast[];
  alerts: AlertCounts;
  runs: RunTotals;
  series: ReportSeries;
}

export interface HealthReport {
  /** ISO 8601 UTC. */
  period: { from: string; to: string; durationMs: number };
  /** The worst of all nodes; null when there is no node. */
  status: NodeStatus | null;
  /** Percent; null for a limit that is off. */
  limits: Record<keyof ReportLimits, number | null>;
  totals: {
    nodes: number;
    byStatus: Record<NodeStatus, number>;
    /** Mean over the nodes that have one. */
    uptimePct: number | null;
    incidents: number;
    outages: number;
    offlineMs: number;
    /** Time of the period in which the gateway was down, ms: counted neither as uptime nor as outage. */
    gatewayDownMs: number;
    alerts: AlertCounts & {
      /** Of those that fire now. */
      critical: number;
    };
    runs: RunTotals;
  };
  /** The firing first, then the critical, then the longest; at most {@link MOST_ALERTS} of all that the totals count. */
  alerts: readonly ReportAlert[];
  /** Names of the nodes that most need a look, the worst first; at most {@link MOST_WORST}. */
  worst: string[];
  /** Worst status first, then least uptime, then most failed runs, then by name. */
  nodes: NodeReport[];
}

/** Names in {@link HealthReport.worst}. */
export const MOST_WORST = 5;

/** Entries of {@link HealthReport.alerts}. */
export const MOST_ALERTS = 100;

/** A period cut into equal parts, for charts. One entry for each part, oldest first; null where nothing is known. */
export interface ReportSeries {
  /** Length of one part, ms. */
  partMs: number;
  /** Mean of the part. */
  cpuPct: (number | null)[];
  memUsedPct: (number | null)[];
  diskUsedPct: (number | null)[];
  rttMs: (number | null)[];
  /** Share of the part with a live session; null before the node's first. */
  onlinePct: (number | null)[];
}
