/**
 * Gauges of nodes and alerts, written as text from what is in memory at the time of a scrape; docs/adr/0021.
 * OpenMetrics 1.0.0 and text 0.0.4 write gauges alike.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { NODE_STATUSES } from '../../../domain/states.ts';
import type { DiskUsage, Heartbeat } from '../../../protocol/heartbeat.ts';
import type { NodeRecord, NodesStore } from '../../nodes/nodes-table.ts';
import type { Alerts } from '../alerts/alerts.ts';
import { type HealthMonitor, lastSeen, type NodeHealth } from '../judge/monitor.ts';

/** Most filesystems reported per node, the fullest first, so that no node can flood the Prometheus database. */
export const MAX_DISKS_PER_NODE = 8;
/** Nodes processed before yielding to the event loop. */
const NODES_PER_TURN = 250;

interface GaugeFamily<T> {
  name: string;
  help: string;
  /** The samples of one thing; null for an unknown figure, which has no line. */
  samples(thing: T): readonly Sample[] | number | null;
}

/** Additional labels as {@link formatLabels} writes them, and the value. */
type Sample = readonly [labels: string, value: number];

interface Labelled<T> {
  labels: string;
  thing: T;
}

interface NodeReading {
  node: NodeRecord;
  health: NodeHealth;
  /** Undefined while the node is offline: a stale figure is not a figure. */
  beat: Heartbeat | undefined;
  disks: readonly Labelled<DiskUsage>[];
}

/** Name after `fleet_node_`, help, and how to read the figure from the last heartbeat. */
const BEAT_GAUGES: [name: string, help: string, read: (beat: Heartbeat) => number | null | undefined][] = [
  ['cpu_usage_ratio', 'CPU usage, as a share of all cores.', ({ cpuPct }) => ratio(cpuPct)],
  ['cpu_cores', 'CPU cores.', ({ cores }) => cores],
  ['load1', 'Load average over one minute.', ({ load1 }) => load1],
  ['memory_used_bytes', 'Memory in use, excluding caches.', ({ memUsedBytes }) => memUsedBytes],
  ['memory_size_bytes', 'Total memory.', ({ memTotalBytes }) => memTotalBytes],
  ['swap_used_bytes', 'Swap in use.', ({ swapUsedBytes }) => swapUsedBytes],
  ['swap_size_bytes', 'Total swap.', ({ swapTotalBytes }) => swapTotalBytes],
  ['temperature_celsius', 'CPU temperature.', ({ temperatureC }) => temperatureC],
  ['battery_ratio', 'Battery charge.', ({ battery }) => ratio(battery?.percent ?? null)],
  ['uptime_seconds', 'Time since the machine booted.', ({ uptimeS }) => uptimeS],
  ['rtt_seconds', 'Round-trip time through the tunnel.', ({ rttMs }) => seconds(rttMs)],
  ['runs_active', 'Runs in progress on the node.', ({ runsActive }) => runsActive],
  ['agent_resident_memory_bytes', "Resident memory of the node's fleet process.", ({ node }) => node.rssBytes],
];

const DISK_GAUGES: [name: string, help: string, read: (disk: DiskUsage) => number][] = [
  ['used_bytes', 'Space in use on the fullest filesystems.', ({ usedBytes }) => usedBytes],
  ['size_bytes', 'Size of the fullest filesystems.', ({ sizeBytes }) => sizeBytes],
  ['used_ratio', 'Usage as df reports it; at 1, writes fail.', ({ usedPct }) => usedPct / 100],
];

const STATUS_LABELS = NODE_STATUSES.map((status) => [status, formatLabels({ status })] as const);

const NODE_FAMILIES: readonly GaugeFamily<NodeReading>[] = [
  {
    name: 'fleet_node_up',
    help: 'Whether the node is connected and sends heartbeats.',
    samples: ({ health }) => Number(health.status !== 'offline'),
  },
  {
    name: 'fleet_node_status',
    help: 'Status of the node: 1 for the current one, 0 for the others.',
    samples: ({ health }) => STATUS_LABELS.map(([status, labels]) => [labels, Number(health.status === status)]),
  },
  {
    name: 'fleet_node_last_seen_timestamp_seconds',
    help: 'Time of the last contact with the node.',
    samples: ({ node, health }) => seconds(lastSeen(node, health)),
  },
  {
    name: 'fleet_node_info',
    help: 'Version, operating system and architecture of the node, as labels.',
    samples: ({ node: { facts } }) =>
      facts && [[formatLabels({ version: facts.version, os: facts.os, arch: facts.arch }), 1]],
  },
  {
    name: 'fleet_node_clock_skew_seconds',
    help: "The node's clock minus the gateway's.",
    samples: ({ beat, health }) => (beat === undefined ? null : seconds(health.latest?.skewMs ?? null)),
  },
  ...BEAT_GAUGES.map(([name, help, read]) => ({
    name: `fleet_node_${name}`,
    help,
    samples: ({ beat }: NodeReading) => (beat === undefined ? null : (read(beat) ?? null)),
  })),
  ...DISK_GAUGES.map(([name, help, read]) => ({
    name: `fleet_node_filesystem_${name}`,
    help,
    samples: ({ disks }: NodeReading) => disks.map(({ labels, thing }) => [labels, read(thing)] as const),
  })),
];

const count = (name: string, help: string): GaugeFamily<number> => ({ name, help, samples: (thing) => thing });
const NODES = count('fleet_nodes', 'Nodes by status.');
const ALERTS = count('fleet_alerts', 'Unresolved alerts; silenced ones fire without notifications.');
const WAITING = count('fleet_alert_messages_waiting', 'Undelivered alert messages by receiver.');

/** Names of all metrics about nodes and alerts. */
export const GAUGE_NAMES: readonly string[] = [NODES, ...NODE_FAMILIES, ALERTS, WAITING].map(({ name }) => name);

interface NodeMetricsSources {
  store: Pick<NodesStore, 'nodes'>;
  monitor: Pick<HealthMonitor, 'healthOf'>;
}

/** All metrics of all nodes that are not revoked. Yields to the event loop in between. */
export async function writeNodeMetrics({ store, monitor }: NodeMetricsSources): Promise<string> {
  const readings: Labelled<NodeReading>[] = [];
  for (const [index, node] of store.nodes.all().entries()) {
    if (index % NODES_PER_TURN === NODES_PER_TURN - 1) await nextTurn();
    if (node.revokedAt !== null) continue;
    const health = monitor.healthOf(node);
    const beat = health.status === 'offline' ? undefined : health.latest?.beat;
    const disks = fullest(beat?.disks ?? []).map((disk) => labelled({ mountpoint: disk.mount }, disk));
    readings.push(labelled({ node: node.name }, { node, health, beat, disks }));
  }
  const counts = STATUS_LABELS.map(([status, labels]) => ({
    labels,
    thing: readings.filter(({ thing }) => thing.health.status === status).length,
  }));
  let text = writeGauges(NODES, counts);
  for (const family of NODE_FAMILIES) {
    await nextTurn();
    text += writeGauges(family, readings);
  }
  return text;
}

/** A few lines per rule and receiver, however many nodes there are. */
export function writeAlertMetrics({ alerts, waiting }: ReturnType<Alerts['figures']>): string {
  const active = alerts.map(({ count: thing, ...labels }) => labelled(labels, thing));
  const undelivered = waiting.map(({ count: thing, ...labels }) => labelled(labels, thing));
  return writeGauges(ALERTS, active) + writeGauges(WAITING, undelivered);
}

function labelled<T>(labels: Readonly<Record<string, string>>, thing: T): Labelled<T> {
  return { labels: formatLabels(labels), thing };
}

/** `# HELP`, `# TYPE` and the samples of all things. */
function writeGauges<T>({ name, help, samples }: GaugeFamily<T>, things: readonly Labelled<T>[]): string {
  let text = `# HELP ${name} ${help}\n# TYPE ${name} gauge\n`;
  for (const { labels, thing } of things) {
    const found = samples(thing);
    if (found === null) continue;
    if (typeof found === 'number') text += `${name}{${labels}} ${found}\n`;
    else for (const [more, value] of found) text += `${name}{${labels},${more}} ${value}\n`;
  }
  return text;
}

/** `node="a",mount="/"`. */
function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => {
      // Half a surrogate pair is not UTF-8, and one such mount point would invalidate the whole scrape.
      const text = value.toWellFormed().replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
      return `${name}="${text}"`;
    })
    .join(',');
}

function ratio(percent: number | null): number | null {
  return percent === null ? null : percent / 100;
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}

function fullest(disks: readonly DiskUsage[]): readonly DiskUsage[] {
  if (disks.length <= MAX_DISKS_PER_NODE) return disks;
  return disks.toSorted((a, b) => b.usedPct - a.usedPct).slice(0, MAX_DISKS_PER_NODE);
}
