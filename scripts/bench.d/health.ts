/**
 * What a week of 1,000 nodes costs: `scripts/bench health [NODES] [DAYS]` makes the history by the gateway's own code, rolls it
 * up, and prints the size of the database, what a year comes to, and how long reports take and how long they hold everybody up.
 * Reports end 59 minutes into an hour, when the most is not rolled up yet, and 15 hours into a day.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { FIGURES, type Figures } from '../../src/gateway/monitoring/history/figures.ts';
import { BUCKET_MS, DAY_MS, HOUR_MS, RESOLUTIONS } from '../../src/gateway/monitoring/history/resolutions.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../src/gateway/monitoring/judge/limits.ts';
import { HealthMonitor } from '../../src/gateway/monitoring/judge/monitor.ts';
import type { HealthReport } from '../../src/gateway/monitoring/report/build.ts';
import { joinPieces, REPORT_FORMATS } from '../../src/gateway/monitoring/report/formats.ts';
import { gatherReport } from '../../src/gateway/monitoring/report/gather.ts';
import { Sessions } from '../../src/gateway/nodes/sessions.ts';
import { Store } from '../../src/gateway/store.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { silentLogger } from '../../src/shared/logger.ts';

const NODES = Number(process.argv[2] ?? 1_000);
const DAYS = Number(process.argv[3] ?? 7);
const BEAT_MS = 30_000;
/** Before the last day, so that the making of it takes minutes and not hours: buckets of two beats, hours of 24. */
const SPARSE_BEAT_MS = 150_000;
const RAW_MS = DAY_MS;

const folder = mkdtempSync(path.join(tmpdir(), 'fleet-bench-'));
const file = path.join(folder, 'fleet.db');
const store = new Store(file);
/** Up to here is rolled up; an hour of heartbeats follows. */
const now = Math.floor(Date.now() / DAY_MS) * DAY_MS + 14 * HOUR_MS;
const reportAt = now + 59 * 60_000;
/** Reports of each kind. */
const RUNS = 5;
try {
  const ids = Array.from({ length: NODES }, (_, index) => `node${String(index).padStart(8, '0')}`);
  await store.write(() => ids.forEach(insertNode));
  const bytes = { raw: 0, '5m': 0, '1h': 0, '1d': 0 };
  let rollUpMs = 0;
  let longestStepMs = 0;
  const rollUp = async (until: number) => {
    for (let isMore = true; isMore; ) {
      const begun = performance.now();
      isMore = await store.write(() => store.history.rollUp.step(until));
      const stepMs = performance.now() - begun;
      rollUpMs += stepMs;
      longestStepMs = Math.max(longestStepMs, stepMs);
    }
  };
  for (let hour = now - 14 * DAY_MS; hour < now - DAYS * DAY_MS; hour += HOUR_MS) {
    await store.write(() => {
      for (const [index, id] of ids.entries()) insertDisk(store, id, index, hour);
    });
  }
  for (let hour = now - DAYS * DAY_MS; hour < now; hour += HOUR_MS) {
    await store.write(() => insertHour(store, ids, hour));
    await rollUp(hour + HOUR_MS + 10_000);
    while ((await store.write(() => store.history.prune('raw', hour + HOUR_MS - RAW_MS, 20_000))) > 0);
  }
  const rows = { raw: 0, '5m': 0, '1h': 0, '1d': 0 };
  for (const resolution of RESOLUTIONS) {
    // Of the last day, which is as dense as in life.
    const first = Math.floor((now - DAY_MS) / BUCKET_MS[resolution]) - (resolution === '1d' ? 1 : 0);
    let after = { bucket: first - 1, node: Number.MAX_SAFE_INTEGER, at: 0 };
    for (;;) {
      const chunk = store.history.rows(resolution, after, Number.MAX_SAFE_INTEGER, 10_000);
      for (const { figures } of chunk) bytes[resolution] += figures.length;
      rows[resolution] += chunk.length;
      const end = chunk.at(-1);
      if (end === undefined) break;
      after = end;
    }
  }
  console.log(
    `rolling up: ${(rollUpMs / (DAYS * 24)).toFixed(0)} ms an hour of the fleet, longest step ${longestStepMs.toFixed(1)} ms`,
  );
  store.close();
  const size = statSync(file).size;
  const perRow = (resolution: keyof typeof rows) =>
    `${(bytes[resolution] / rows[resolution]).toFixed(0)} bytes of figures a row`;
  console.log(`${NODES} nodes, ${DAYS} days: database ${mib(size)} MiB`);
  for (const resolution of RESOLUTIONS) {
    console.log(`  ${resolution.padEnd(4)} ${String(rows[resolution]).padStart(9)} rows, ${perRow(resolution)}`);
  }
  // Key and header of a row take some 12 bytes more.
  const ofYear =
    ((NODES * DAY_MS) / BEAT_MS) * (bytes.raw / rows.raw + 12) +
    NODES * 30 * 288 * (bytes['5m'] / rows['5m'] + 12) +
    NODES * 8_760 * (bytes['1h'] / rows['1h'] + 12) +
    NODES * 365 * (bytes['1d'] / rows['1d'] + 12);
  console.log(`  after a year at most (raw 1 d, 5 min 30 d, hours and days 365 d): some ${mib(ofYear)} MiB`);
  const last = new Store(file);
  await last.write(() => insertHour(last, ids, now));
  for (let isMore = true; isMore; ) isMore = await last.write(() => last.history.rollUp.step(reportAt));
  last.close();
  await measureReports();
} finally {
  store.close();
  rmSync(folder, { recursive: true, force: true });
}

async function measureReports(): Promise<void> {
  const reopened = new Store(file);
  const sessions = new Sessions({ store: reopened, clock: systemClock, logger: silentLogger });
  const limits = DEFAULT_HEALTH_THRESHOLDS;
  const monitor = new HealthMonitor({
    store: reopened,
    sessions,
    epochs: { suspicionOf: () => undefined },
    clock: systemClock,
    logger: silentLogger,
    thresholds: { ...limits },
  });
  const nodes = reopened.nodes.all();
  for (const days of [7, 1]) {
    const gathered: Measured[] = [];
    let report: HealthReport | undefined;
    for (let run = 0; run < RUNS; run += 1) {
      const period = { from: reportAt - days * DAY_MS, to: reportAt };
      report = await measured(gathered, () => gatherReport({ store: reopened, monitor, limits }, nodes, period));
    }
    print(`report over ${days} d, gathered`, gathered);
    if (report === undefined) continue;
    const whole = report;
    for (const [format, { pieces }] of Object.entries(REPORT_FORMATS)) {
      const written: Measured[] = [];
      let text = '';
      for (let run = 0; run < RUNS; run += 1) text = await measured(written, () => joinPieces(pieces(whole)));
      print(`  as ${format}, ${mib(text.length)} MiB`, written);
    }
  }
  reopened.close();
}

interface Measured {
  ms: number;
  cpuMs: number;
  holdUpMs: number;
}

async function measured<T>(list: Measured[], work: () => Promise<T>): Promise<T> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const begun = performance.now();
  const cpuBegun = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(cpuBegun);
  const ms = performance.now() - begun;
  // The last turn is counted when the loop comes round again.
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  list.push({ ms, cpuMs: (user + system) / 1_000, holdUpMs: delay.max / 1e6 });
  return result;
}

function print(what: string, list: readonly Measured[]): void {
  const of = (key: keyof Measured) => {
    const values = list.map((entry) => entry[key]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return `${Math.min(...values).toFixed(0)} / ${mean.toFixed(0)} / ${Math.max(...values).toFixed(0)} ms`;
  };
  const holdUpMs = Math.max(...list.map((entry) => entry.holdUpMs));
  console.log(
    `${what.padEnd(28)} ${of('ms')} (min / mean / max of ${list.length}), of a processor ${of('cpuMs')}, longest hold-up ${holdUpMs.toFixed(0)} ms`,
  );
}

function insertNode(id: string, index: number): void {
  const publicKey = Buffer.alloc(32);
  publicKey.writeUInt32LE(index);
  store.nodes.insert({
    id,
    name: id,
    publicKey,
    ownLabels: {},
    labels: {},
    facts: null,
    createdAt: now - DAYS * DAY_MS,
  });
  store.sessions.openSession(id, '192.0.2.1', now - DAYS * DAY_MS);
}

function insertHour(store: Store, ids: readonly string[], hour: number): void {
  const stepMs = hour < now - DAY_MS ? SPARSE_BEAT_MS : BEAT_MS;
  const none = Object.fromEntries(FIGURES.map(({ name }) => [name, null])) as Figures;
  for (const [index, id] of ids.entries()) {
    for (let at = hour + (index % 30) * 1_000; at < hour + HOUR_MS; at += stepMs) {
      const busy = 15 + 10 * Math.sin(at / DAY_MS) + 12 * Math.random() + (Math.random() > 0.97 ? 50 : 0);
      store.history.insert(id, at, {
        ...none,
        cpuPct: busy,
        load1: busy / 25,
        memUsedPct: 40 + (index % 40) + Math.random(),
        swapUsedPct: 3,
        diskUsedPct: 50 + (index % 40) + ((at - now) / DAY_MS) * 0.5,
        rttMs: 20 + (index % 60) + 6 * Math.random() + (Math.random() > 0.98 ? 120 : 0),
        jitterMs: 3 * Math.random(),
        skewMs: Math.round(4 * Math.random()),
        rxBytesPerS: 20_000 * Math.random(),
        txBytesPerS: 9_000 * Math.random(),
        eventLoopLagMs: 2 * Math.random(),
        processRssMib: 60 + Math.random(),
      });
    }
    insertDisk(store, id, index, hour);
  }
}

function insertDisk(store: Store, id: string, index: number, hour: number): void {
  store.history.disks.insert(id, hour, [{ mount: '/', usedPct: 50 + (index % 40) + ((hour - now) / DAY_MS) * 0.5 }]);
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
