/** Builds the API's views from store, sessions and monitor. */
import { isTerminal, worstFirst } from '../../domain/states.ts';
import { fullestDiskPct, memUsedPct } from '../../protocol/heartbeat.ts';
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import type { RunExited } from '../../protocol/run-spec.ts';
import type {
  ClaimView,
  CloneView,
  HealthDayView,
  HealthNodeView,
  HealthView,
  NodeDetailView,
  NodeView,
  PendingView,
  SightingView,
} from '../../protocol/views.ts';
import { isoTime } from '../../shared/duration.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import type { JobRecord } from '../bus/jobs-table.ts';
import type { RunRecord } from '../bus/runs-table.ts';
import type { ConnectEpochs } from '../identity/connect-epochs.ts';
import { type PendingChange, pendingChange, refusedChange } from '../identity/node-claims.ts';
import type { CloneSuspicion, Sighting } from '../identity/tables.ts';
import { type HealthMonitor, lastSeen } from '../monitoring/judge/monitor.ts';
import type { NodeReport } from '../monitoring/report/build.ts';
import { type NodeRecord, usableCapabilities, withoutNulls } from '../nodes/nodes-table.ts';
import type { PendingNode } from '../nodes/pending-nodes.ts';
import type { Sessions } from '../nodes/sessions.ts';

export interface ViewSources {
  sessions: Sessions;
  monitor: HealthMonitor;
  epochs: Pick<ConnectEpochs, 'suspicionOf'>;
}

export function nodeView(node: NodeRecord, { sessions, monitor }: ViewSources): NodeView {
  const session = sessions.get(node.id);
  const health = monitor.healthOf(node);
  return {
    id: node.id,
    name: node.name,
    status: node.revokedAt === null ? health.status : 'revoked',
    labels: node.labels,
    capabilities: usableCapabilities(node),
    lastSeenAt: isoTime(lastSeen(node, health)),
    connectedSince: isoTime(session?.connectedAt ?? null),
    rttMs: session === undefined ? null : tenths(health.latest?.beat.rttMs),
    version: node.facts?.version ?? null,
    agentVersion: node.facts?.version ?? null,
    os: node.facts?.os ?? null,
    arch: node.facts?.arch ?? null,
    hostname: node.facts?.hostname ?? null,
  };
}

export function nodeDetailView(node: NodeRecord, sources: ViewSources): NodeDetailView {
  const health = sources.monitor.healthOf(node);
  const session = sources.sessions.get(node.id);
  return {
    ...nodeView(node, sources),
    reasons: health.reasons,
    fingerprint: formatFingerprint(sshPublicKeyBlob(node.publicKey)),
    address: session?.peer.remoteAddress ?? null,
    pairedAt: isoTime(node.createdAt),
    osRelease: node.facts?.osRelease ?? null,
    skewMs: health.latest?.skewMs ?? null,
    runsActive: session === undefined ? null : (health.latest?.beat.runsActive ?? null),
    policy: health.latest?.beat.policy ?? null,
    clone: cloneView(sources.epochs.suspicionOf(node.id)),
    ...claimsView(node),
  };
}

function cloneView(suspicion: CloneSuspicion | undefined): CloneView | null {
  if (suspicion === undefined) return null;
  const { kind, since, count, before, late } = suspicion;
  return { kind, since: isoTime(since), count, machines: [sightingView(before), sightingView(late)] };
}

function sightingView({ hostname, address, machineId, at }: Sighting): SightingView {
  return { hostname, address, machineId, at: isoTime(at) };
}

function claimsView(node: NodeRecord): Pick<NodeDetailView, 'pending' | 'refused'> {
  const pending = pendingChange(node);
  const refused = refusedChange(node);
  return {
    pending: pending === undefined ? null : { code: pending.code, ...claimView(pending) },
    refused: refused === undefined ? null : claimView(refused),
  };
}

function claimView({ labels, capabilities }: PendingChange): ClaimView {
  return { labels, capabilities };
}

export function changeView(change: PendingChange, { sessions }: Pick<ViewSources, 'sessions'>): PendingView {
  const { node, code, since } = change;
  return {
    kind: 'change',
    name: node.name,
    code,
    fingerprint: formatFingerprint(sshPublicKeyBlob(node.publicKey)),
    address: sessions.get(node.id)?.peer.remoteAddress ?? '',
    hostname: node.facts?.hostname ?? '',
    os: node.facts?.os ?? '',
    arch: node.facts?.arch ?? '',
    labels: withoutNulls({ ...node.labels, ...change.labels }),
    capabilities: [...usableCapabilities(node), ...change.capabilities],
    change: claimView(change),
    since: isoTime(since),
  };
}

export function pendingView(pending: PendingNode): PendingView {
  return {
    kind: 'join',
    name: pending.name,
    code: pending.code,
    fingerprint: formatFingerprint(sshPublicKeyBlob(pending.publicKey)),
    address: pending.address,
    hostname: pending.facts.hostname,
    os: pending.facts.os,
    arch: pending.facts.arch,
    labels: pending.labels,
    capabilities: pending.facts.capabilities,
    since: isoTime(pending.since),
  };
}

/** Worst first, then by name. */
export function healthView(nodes: readonly NodeRecord[], monitor: HealthMonitor): Omit<HealthView, 'alerts'> {
  const views = nodes.map((node): HealthNodeView => {
    const { status, reasons, latest, link, machineScore } = monitor.healthOf(node);
    const beat = latest?.beat;
    // Momentary figures are meaningless once the node is offline.
    const present = status === 'offline' ? undefined : beat;
    return {
      name: node.name,
      status,
      reasons,
      cpuPct: tenths(present?.cpuPct),
      load1: present?.load1 ?? null,
      memUsedPct: tenths(present && memUsedPct(present)),
      diskUsedPct: tenths(beat && fullestDiskPct(beat)),
      rttMs: tenths(present?.rttMs),
      skewMs: latest?.skewMs ?? null,
      uptimeS: beat?.uptimeS ?? null,
      lastSeenAt: isoTime(lastSeen(node, { latest })),
      runsActive: present?.runsActive ?? null,
      linkScore: link.score,
      machineScore,
      jitterMs: tenths(link.jitterMs),
      lostPct: tenths(link.lostPct),
      reconnectsPerHour: link.reconnectsPerHour,
    };
  });
  views.sort((a, b) => worstFirst(a.status, b.status) || (a.name < b.name ? -1 : 1));
  return { status: views[0]?.status ?? 'unknown', nodes: views };
}

export function dayView(node: NodeReport): HealthDayView {
  const { uptimePct, outages, incidents, forecasts, cpuPct, memUsedPct, diskUsedPct, rttMs, series } = node;
  return { uptimePct, outages, incidents, forecasts, cpuPct, memUsedPct, diskUsedPct, rttMs, series };
}

export function runView(run: RunRecord): RunView {
  const { index, state, exitCode, signal, reason, stdoutBytes, stderrBytes } = run;
  const begin = run.startedAt ?? run.deliveredAt;
  return {
    ...{ run: run.id, job: run.jobId, index, node: run.nodeName, state, exitCode, signal, reason },
    queuedAt: isoTime(run.queuedAt),
    deliveredAt: isoTime(run.deliveredAt),
    startedAt: isoTime(run.startedAt),
    endedAt: isoTime(run.endedAt),
    durationMs: run.endedAt === null || begin === null ? null : Math.max(0, run.endedAt - begin),
    stdoutBytes,
    stderrBytes,
    truncated: run.droppedBytes > 0,
    ...(run.exited === null || isTerminal(state) ? {} : { exited: JSON.parse(run.exited) as RunExited }),
  };
}

export function jobView(job: JobRecord, runs: readonly RunRecord[]): JobView {
  const counts: JobView['counts'] = {};
  for (const run of runs) counts[run.state] = (counts[run.state] ?? 0) + 1;
  return {
    job: job.id,
    kind: job.kind,
    command: job.command,
    ...(job.options.agent === undefined ? {} : { agent: job.options.agent }),
    createdAt: isoTime(job.createdAt),
    createdBy: job.createdBy,
    target: job.target,
    counts,
    runs: runs.map(runView),
  };
}

/** One decimal; more would be false precision. */
function tenths(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.round(value * 10) / 10;
}
