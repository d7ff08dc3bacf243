/** What the gateway tells Prometheus about each node: a table of gauges over what the health monitor knows. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { NODE_STATUSES } from '../../../domain/node-status.ts';
import type { DiskUsage, Heartbeat } from '../../../protocol/heartbeat.ts';
import type { NodeRecord, NodesStore } from '../../nodes/nodes-table.ts';
import { type HealthMonitor, lastSeen, type NodeHealth } from '../judge/monitor.ts';
import { formatLabels, type GaugeFamily, type LabelledThing, writeGauges } from './exposition.ts';

/** Most filesystems of one node, the fullest: a node may not fill the database of Prometheus. */
export const MAX_DISKS_PER_NODE = 8;

/** Nodes that are looked at before others have their turn. */
const NODES_PER_TURN = 250;

interface NodeReading {
  node: NodeRecord;
  health: NodeHealth;
  /** Undefined while the node is away: an old figure is no figure. */
  beat: Heartbeat | undefined;
  disks: readonly { labels: string; disk: DiskUsage }[];
}

type Family = GaugeFamily<NodeReading>;

/** A figure of the last heartbeat. */
const figure = (name: string, help: string, read: (beat: Heartbeat) => number | null | undefined): Family => ({
  name,
  help,
  samples: ({ beat }) => (beat === undefined ? null : (read(beat) ?? null)),
});

const ratio = (percent: number | null): number | null => (percent === null ? null : percent / 100);
const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1_000);

const diskFigure = (name: string, help: string, read: (disk: DiskUsage) => number): Family => ({
  name,
  help,
  samples: ({ disks }) => disks.map(({ labels, disk }) => [labels, read(disk)] as const),
});

const FAMILIES: readonly Family[] = [
  {
    name: 'fleet_node_up',
    help: 'Whether the node is connected and sends heartbeats.',
    samples: ({ health }) => Number(health.status !== 'offline'),
  },
  {
    name: 'fleet_node_status',
    help: 'The status of the node: 1 for the one that it has.',
    samples: ({ health }) =>
      STATUS_LABELS.map(([status, labels]) => [labels, Number(health.status === status)] as const),
  },
  {
    name: 'fleet_node_last_seen_timestamp_seconds',
    help: 'When the gateway last heard of the node.',
    samples: ({ node, health }) => seconds(lastSeen(node, health)),
  },
  {
    name: 'fleet_node_info',
    help: 'Facts about the node, in its labels.',
    samples: ({ node: { facts } }) =>
      facts === null
        ? null
        : [[formatLabels({ version: facts.agentVersion, os: facts.os, arch: facts.arch }), 1] as const],
  },
  figure('fleet_node_cpu_usage_ratio', 'Use of all cores together.', (beat) => ratio(beat.cpuPct)),
  figure('fleet_node_cpu_cores', 'Cores of the node.', (beat) => beat.cores),
  figure('fleet_node_load1', 'Runnable processes, averaged over a minute.', (beat) => beat.load1),
  figure('fleet_node_memory_used_bytes', 'Memory in use, without caches.', (beat) => beat.memUsedBytes),
  figure('fleet_node_memory_size_bytes', 'Memory of the node.', (beat) => beat.memTotalBytes),
  figure('fleet_node_swap_used_bytes', 'Swap in use.', (beat) => beat.swapUsedBytes),
  figure('fleet_node_swap_size_bytes', 'Swap of the node.', (beat) => beat.swapTotalBytes),
  diskFigure('fleet_node_filesystem_used_bytes', 'Space in use, of the fullest filesystems.', (disk) => disk.usedBytes),
  diskFigure('fleet_node_filesystem_size_bytes', 'Size of the fullest filesystems.', (disk) => disk.sizeBytes),
  diskFigure(
    'fleet_node_filesystem_used_ratio',
    'Use as df counts it: 1 means that writes fail.',
    (disk) => disk.usedPct / 100,
  ),
  figure('fleet_node_temperature_celsius', 'Of the processor.', (beat) => beat.temperatureC),
  figure('fleet_node_battery_ratio', 'Charge of the battery.', (beat) => ratio(beat.battery?.percent ?? null)),
  figure('fleet_node_uptime_seconds', 'Since the node was booted.', (beat) => beat.uptimeS),
  figure('fleet_node_rtt_seconds', 'Round trip through the tunnel.', (beat) => seconds(beat.rttMs)),
  {
    name: 'fleet_node_clock_skew_seconds',
    help: "The node's clock less the gateway's.",
    samples: ({ beat, health }) => (beat === undefined ? null : seconds(health.latest?.skewMs ?? null)),
  },
  figure('fleet_node_runs_active', 'Runs that the node works on.', (beat) => beat.runsActive),
  figure('fleet_node_agent_resident_memory_bytes', "Of the node's own process.", (beat) => beat.agent.rssBytes),
];

const STATUS_LABELS = NODE_STATUSES.map((status) => [status, formatLabels({ status })] as const);

export interface NodeMetricsSources {
  store: Pick<NodesStore, 'nodes'>;
  monitor: Pick<HealthMonitor, 'healthOf'>;
}

/** All families of all nodes that are not revoked. Lets others have their turn in between. */
export async function writeNodeMetrics({ store, monitor }: NodeMetricsSources): Promise<string> {
  const things: LabelledThing<NodeReading>[] = [];
  for (const [index, node] of store.nodes.all().entries()) {
    if (index % NODES_PER_TURN === NODES_PER_TURN - 1) await nextTurn();
    if (node.revokedAt !== null) continue;
    const health = monitor.healthOf(node);
    const beat = health.status === 'offline' ? undefined : health.latest?.beat;
    const disks = fullest(beat?.disks ?? []).map((disk) => ({
      labels: formatLabels({ mountpoint: disk.mount }),
      disk,
    }));
    things.push({ labels: formatLabels({ node: node.name }), thing: { node, health, beat, disks } });
  }
  let text = writeCounts(things);
  for (const family of FAMILIES) {
    await nextTurn();
    text += writeGauges(family, things);
  }
  return text;
}

/** Names of all metrics about nodes. */
export function metricNames(): string[] {
  return ['fleet_nodes', ...FAMILIES.map(({ name }) => name)];
}

function writeCounts(things: readonly LabelledThing<NodeReading>[]): string {
  const family: GaugeFamily<number> = { name: 'fleet_nodes', help: 'Nodes by status.', samples: (count) => count };
  const counts = STATUS_LABELS.map(([status, labels]) => {
    return { labels, thing: things.filter(({ thing }) => thing.health.status === status).length };
  });
  return writeGauges(family, counts);
}

function fullest(disks: readonly DiskUsage[]): readonly DiskUsage[] {
  if (disks.length <= MAX_DISKS_PER_NODE) return disks;
  return disks.toSorted((a, b) => b.usedPct - a.usedPct).slice(0, MAX_DISKS_PER_NODE);
}
