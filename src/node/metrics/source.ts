/** What the metrics need of an operating system. */
import type { Battery, DiskUsage } from '../../protocol/heartbeat.ts';

/** Time that all cores spent since boot, in any one unit: only ratios of differences mean anything. */
export interface CpuTimes {
  busy: number;
  total: number;
  /** What the times are counted for, when that may change: times of two bases say nothing together. */
  basis?: string;
}

export interface MemoryUsage {
  memTotalBytes: number;
  /** Without caches. */
  memUsedBytes: number;
  swapTotalBytes: number | null;
  swapUsedBytes: number | null;
}

/** Since boot. Errors and drops are those of both directions; left out where the system does not say. */
export interface InterfaceCounters {
  rxBytes: number;
  txBytes: number;
  errors?: number;
  drops?: number;
}

/** By interface. */
export type NetworkCounters = ReadonlyMap<string, InterfaceCounters>;

/** Each call reads afresh, rejects when it cannot, and answers null for what the machine does not have. */
export interface MetricsSource {
  readCpuTimes(): Promise<CpuTimes>;
  /** Cores that this process may use, if they are fewer than the machine has; may be a fraction. */
  readCpuLimitCores?(): Promise<number | null>;
  readMemory(): Promise<MemoryUsage>;
  readNetwork(): Promise<NetworkCounters>;
  readDisks(): Promise<DiskUsage[]>;
  readTemperatureC(): Promise<number | null>;
  readBattery(): Promise<Battery | null>;
}
