/** Where the metrics come from: one interface, so that Linux can read files where other systems need systeminformation. */
import type { Battery, DiskUsage } from '../../protocol/heartbeat.ts';

/** Time that all cores spent since boot, in any one unit: only ratios of differences mean anything. */
export interface CpuTimes {
  busy: number;
  total: number;
}

export interface MemoryUsage {
  memTotalBytes: number;
  /** Without caches. */
  memUsedBytes: number;
  swapTotalBytes: number | null;
  swapUsedBytes: number | null;
}

/** Bytes since boot by interface. */
export type NetworkCounters = ReadonlyMap<string, { rxBytes: number; txBytes: number }>;

/** Each call reads afresh, rejects when it cannot, and answers null for what the machine does not have. */
export interface MetricsSource {
  readCpuTimes(): Promise<CpuTimes>;
  readMemory(): Promise<MemoryUsage>;
  readNetwork(): Promise<NetworkCounters>;
  readDisks(): Promise<DiskUsage[]>;
  readTemperatureC(): Promise<number | null>;
  readBattery(): Promise<Battery | null>;
}
