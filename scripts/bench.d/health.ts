/**
 * What a week of 1,000 nodes costs: `scripts/bench health [NODES] [DAYS]` makes the history by the gateway's own code, rolls it
 * up, and prints the size of the database, what a year comes to, and how long reports take and how long they hold everybody up.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../src/gateway/health/derive-status.ts';
import { gatherReport } from '../../src/gateway/health/gather-report.ts';
import { joinPieces } from '../../src/gateway/health/join-pieces.ts';
import { HealthMonitor } from '../../src/gateway/health/monitor.ts';
import { reportHtmlPieces } from '../../src/gateway/health/render-report-html.ts';
import { FIGURES, type Figures } from '../../src/gateway/history/figures.ts';
import { bucketMs, HOUR_MS } from '../../src/gateway/history/resolutions.ts';
import { Sessions } from '../../src/gateway/sessions.ts';
import { Store } from '../../src/gateway/store/store.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { silentLogger } from '../../src/shared/logger.ts';

const NODES = Number(process.argv[2] ?? 1_000);
const DAYS = Number(process.argv[3] ?? 7);
const BEAT_MS = 30_000;
/** Before the last day, so that the making of it takes minutes and not hours: buckets of two beats, hours of 24. */
const SPARSE_BEAT_MS = 150_000;
const DAY_MS = 24 * HOUR_MS;
const RAW_MS = DAY_MS;

const folder = mkdtempSync(path.join(tmpdir(), 'fleet-bench-'));
const file = path.join(folder, 'fleet.db');
const store = new Store(file);
const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
try {
  const ids = Array.from({ length: NODES }, (_, index) => `node${String(index).padStart(8, '0')}`);
  await store.write(() => ids.forEach(insertNode));
  const bytes = { raw: 0, '5m': 0, '1h': 0 };
  let rollUpMs = 0;
  let longestStepMs = 0;
  for (let hour = now - DAYS * DAY_MS; hour < now; hour += HOUR_MS) {
    await store.write(() => insertHour(ids, hour));
    for (let isMore = true; isMore; ) {
      const begun = performance.now();
      isMore = await store.write(() => store.history.rollUpStep(hour + HOUR_MS + 10_000));
      const stepMs = performance.now() - begun;
      rollUpMs += stepMs;
      longestStepMs = Math.max(longestStepMs, stepMs);
    }
    while ((await store.write(() => store.history.prune('raw', hour + HOUR_MS - RAW_MS, 20_000))) > 0);
  }
  const rows = { raw: 0, '5m': 0, '1h': 0 };
  for (const resolution of ['raw', '5m', '1h'] as const) {
    // Of the last day, which is as dense as in life.
    const first = (now - DAY_MS) / bucketMs(resolution);
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
  store.close();
  const size = statSync(file).size;
  const perRow = (resolution: keyof typeof rows) =>
    `${(bytes[resolution] / rows[resolution]).toFixed(0)} bytes of figures a row`;
  console.log(`${NODES} nodes, ${DAYS} days: database ${mib(size)} MiB`);
  for (const resolution of ['raw', '5m', '1h'] as const) {
    console.log(`  ${resolution.padEnd(4)} ${String(rows[resolution]).padStart(9)} rows, ${perRow(resolution)}`);
  }
  // Key and header of a row take some 12 bytes more.
  const ofYear =
    ((NODES * DAY_MS) / BEAT_MS) * (bytes.raw / rows.raw + 12) +
    NODES * 30 * 288 * (bytes['5m'] / rows['5m'] + 12) +
    NODES * 8_760 * (bytes['1h'] / rows['1h'] + 12);
  console.log(`  after a year at most (raw 1 d, 5 min 30 d, hours 365 d): some ${mib(ofYear)} MiB`);
  console.log(
    `  rolling up: ${(rollUpMs / (DAYS * 24)).toFixed(0)} ms an hour of the fleet, longest step ${longestStepMs.toFixed(1)} ms`,
  );
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
  for (const days of [7, 7, 1, 1]) {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const begun = performance.now();
    const cpuBegun = process.cpuUsage();
    const report = await gatherReport({ store: reopened, monitor, limits }, nodes, {
      from: now - days * DAY_MS,
      to: now,
    });
    const gatheredMs = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpuBegun);
    const holdUpMs = delay.max / 1e6;
    delay.reset();
    const html = await joinPieces(reportHtmlPieces(report));
    delay.disable();
    console.log(
      `report over ${days} d: ${gatheredMs.toFixed(0)} ms, of a processor ${((user + system) / 1000).toFixed(0)} ms, longest hold-up ${holdUpMs.toFixed(0)} ms; ` +
        `as HTML ${(performance.now() - begun - gatheredMs).toFixed(0)} ms more, longest hold-up ${(delay.max / 1e6).toFixed(0)} ms, ${mib(html.length)} MiB`,
    );
  }
  reopened.close();
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
  store.health.openSession(id, '192.0.2.1', now - DAYS * DAY_MS);
}

function insertHour(ids: readonly string[], hour: number): void {
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
        agentRssMib: 60 + Math.random(),
      });
    }
    store.history.insertDisks(id, hour, [{ mount: '/', usedPct: 50 + (index % 40) + ((hour - now) / DAY_MS) * 0.5 }]);
  }
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
