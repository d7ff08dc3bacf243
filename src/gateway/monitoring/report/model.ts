/** What a health report is built from. */
import type { NodeStatus } from '../../../domain/states.ts';
import type { Severity } from '../../../protocol/alerts.ts';
import type { DiskForecast } from '../history/disk-history.ts';
import type { NodeHistory } from '../history/node-history.ts';
import type { HealthThresholds } from '../judge/limits.ts';

/** Equal parts of a series: half an hour each in a report on one day. */
export const SERIES_PARTS = 48;
/** Alerts that a report lists. */
export const MOST_ALERTS = 100;

/** What the store knows about one node. Times are ms since the epoch on the gateway's clock. */
export interface ReportRow {
  name: string;
  /** The present status. */
  status: NodeStatus;
  reasons: readonly string[];
  /** 0 to 100, at present; null if unknown. */
  linkScore: number | null;
  machineScore: number | null;
  /** Start of the node's first session; before that it was not expected. Null if there was none. */
  firstSessionAt: number | null;
  history: Pick<NodeHistory, 'statistics' | 'series'>;
  /** Times with a live session, possibly overlapping; `to` is null while it lives. For `awayMs` of it the node was away. */
  sessions: readonly { from: number; to: number | null; awayMs?: number }[];
  /** Times connected but not well; `to` is null while it lasts. */
  troubles: readonly { from: number; to: number | null; status: 'limited' | 'error'; reasons: readonly string[] }[];
  forecasts: readonly (DiskForecast & { mount: string })[];
  runs: RunTotals;
  alerts: AlertCounts;
}

/** Percent; infinite if off. */
export type ReportLimits = Pick<HealthThresholds, 'cpuPct' | 'memUsedPct' | 'diskUsedPct'>;

/** Alerts that fired at some time within the period, including those that had started before. */
export interface AlertCounts {
  fired: number;
  /** Those still firing. */
  firing: number;
}

export interface ReportAlerts {
  /** `critical`: how many of the firing ones are. */
  totals: AlertCounts & { critical: number };
  /** Firing first, then critical, then longest; at most {@link MOST_ALERTS}. */
  worst: readonly ReportAlert[];
}

export interface ReportAlert {
  rule: string;
  severity: Severity;
  node: string;
  state: 'firing' | 'resolved';
  /** ISO 8601, possibly before the period. */
  since: string;
  /** Null while it fires. */
  until: string | null;
  durationMs: number;
  /** If firing: whether it is silenced now. If resolved: whether a silence kept it from ever being sent. */
  silenced: boolean;
  /** Text from when it fired. */
  summary: string;
  /** Why it ended if not because the condition cleared. */
  reason: string | null;
}

export interface RunTotals {
  total: number;
  /** Not ended yet. */
  active: number;
  /** Exited 0. */
  succeeded: number;
  /** Ended in any way other than exit 0 or a cancel. */
  failed: number;
  canceled: number;
}
