/** What the API shows of nodes, health and the gateway itself; `--json` prints these. Times are ISO 8601 UTC, sizes bytes. */
import type { AlertView } from './alert-views.ts';
import type { NodeFacts } from './node-messages.ts';
import type { NodeStatus } from './node-status.ts';
import type { Role } from './roles.ts';

export interface NodeView {
  id: string;
  name: string;
  /** `revoked` for a node whose key was revoked. */
  status: NodeStatus | 'revoked';
  labels: Record<string, string>;
  capabilities: string[];
  lastSeenAt: string | null;
  connectedSince: string | null;
  rttMs: number | null;
  agentVersion: string | null;
  os: string | null;
  arch: string | null;
  hostname: string | null;
}

export interface NodeDetailView extends NodeView {
  reasons: string[];
  /** `SHA256:…`, as ssh-keygen -l shows it. */
  fingerprint: string;
  address: string | null;
  pairedAt: string;
  osRelease: NodeFacts['osRelease'] | null;
  skewMs: number | null;
  runsActive: number | null;
  /** Whether the node's own policy restricts what it does; null when it has not said. */
  policy: boolean | null;
  /** Set when its key seems to be used by two machines, until an operator resets it. */
  clone: CloneView | null;
  /** What it says of itself since it was let in, and an admin has not approved. */
  pending?: (ClaimView & { code: string }) | null;
  /** What an admin has turned down. */
  refused?: ClaimView | null;
}

/** Labels and capabilities that a node would like to have and that do not count. */
export interface ClaimView {
  /** Only those that would change; null takes one away. */
  labels: Record<string, string | null>;
  capabilities: string[];
}

/** A machine that connected with a node's key. */
export interface SightingView {
  hostname: string;
  address: string;
  /** Hash of the machine's id. */
  machineId: string | null;
  at: string;
}

export interface CloneView {
  /** `behind`: it presented a value of earlier; `ahead`: one that the gateway never gave; `missing`: none. */
  kind: 'behind' | 'ahead' | 'missing';
  since: string;
  /** How often it was seen. */
  count: number;
  /** The one that was there before, and the one that came with the wrong value. */
  machines: [SightingView, SightingView];
}

/** A machine that asks to join, or a node that asks for other labels or capabilities than it was let in with. */
export interface PendingView {
  kind?: 'join' | 'change';
  name: string;
  /** Eight digits. A machine that asks to join shows the same; of a change, they stand for exactly that change. */
  code: string;
  fingerprint: string;
  address: string;
  hostname: string;
  os: string;
  arch: string;
  /** Those that it will have. */
  labels: Record<string, string>;
  capabilities?: string[];
  /** With the kind `change` only. */
  change?: ClaimView;
  since: string;
}

export interface HealthNodeView {
  name: string;
  status: NodeStatus;
  reasons: string[];
  cpuPct: number | null;
  load1: number | null;
  memUsedPct: number | null;
  diskUsedPct: number | null;
  rttMs: number | null;
  skewMs: number | null;
  uptimeS: number | null;
  lastSeenAt: string | null;
  /** Runs that it works on; null while it is not connected. */
  runsActive?: number | null;
  /** 0 (useless) to 100, of the tunnel and of the machine; docs/health.md has the formulas. */
  linkScore: number | null;
  machineScore: number | null;
  jitterMs: number | null;
  /** Of keepalives and heartbeats of about the last hour. */
  lostPct: number | null;
  reconnectsPerHour: number;
}

interface StatisticsView {
  min: number;
  avg: number;
  max: number;
  p95: number;
}

/** How one node was over the last 24 hours. */
export interface HealthDayView {
  uptimePct: number | null;
  outages: number;
  /** Times at which it was not online, by start; `end` is null while it goes on. */
  incidents: {
    status: Exclude<NodeStatus, 'online'>;
    start: string;
    end: string | null;
    durationMs: number;
    reasons: string[];
  }[];
  /** Disks that will be full, soonest first. */
  forecasts: { mount: string; fullAt: string; fullInMs: number; risePctPerDay: number }[];
  cpuPct: StatisticsView | null;
  memUsedPct: StatisticsView | null;
  diskUsedPct: StatisticsView | null;
  rttMs: StatisticsView | null;
  /** Means of equal parts, oldest first; null where nothing is known. */
  series: {
    partMs: number;
    cpuPct: (number | null)[];
    memUsedPct: (number | null)[];
    diskUsedPct: (number | null)[];
    rttMs: (number | null)[];
    onlinePct: (number | null)[];
  };
}

export interface HealthView {
  /** The worst of all nodes; `unknown` when there is none. */
  status: NodeStatus | 'unknown';
  nodes: HealthNodeView[];
  /** Only when one node was asked for. */
  day?: HealthDayView;
  /** Those that fire, also silenced ones. */
  alerts: AlertView[];
  /** What is wrong with the gateway itself. */
  faults?: string[];
}

/** What became of reading the configuration while the gateway runs. Options by name, such as `alerts.notify`. */
export interface ReloadView {
  /** Options that have changed, and count from now on. */
  changed: string[];
  /** Options that have changed since the start, and count from the next one. */
  restartNeeded: string[];
}

export interface ConfigStateView extends Pick<ReloadView, 'restartNeeded'> {
  /** When what is in force was read. */
  readAt: string;
  /** Why the file could not be read the last time; null when it could. */
  fault: string | null;
}

export interface GatewayView {
  version: string;
  pid: number;
  startedAt: string;
  /** SSH address nodes dial. */
  listen: { host: string; port: number };
  api: { host: string; port: number } | null;
  /** Host, or host:port, by which nodes reach this gateway, if its config says so. */
  advertise: string | null;
  hostKeyFingerprint: string;
  nodes: { paired: number; connected: number; pending: number };
  runs: { open: number };
  config: ConfigStateView;
  /** What is wrong with the gateway itself. */
  faults?: string[];
}

export interface RotatedKeyView {
  /** Id of the key that signs from now on. */
  key: string;
  /** Until then, what the replaced key has signed is good. */
  graceEndsAt: string;
}

export interface InviteView {
  code: string;
  expiresAt: string;
}

/** An invite that can still be used, without its secret. */
export interface OpenInviteView {
  /** The first four characters of its code. */
  id: string;
  role: Role;
  name: string | null;
  labels: Record<string, string>;
  ephemeral: boolean;
  usesLeft: number;
  /** Wrong proofs so far; five burn it. */
  failures: number;
  createdAt: string;
  createdBy: string;
  expiresAt: string;
}

/** One key that the gateway knows, of a person or a node. */
export interface KeyView {
  kind: 'person' | 'node';
  id: string;
  name: string;
  role: Role;
  /** `SHA256:…`, as ssh-keygen -l shows it. */
  fingerprint: string;
  createdAt: string;
  /** Now, while it is connected; null when it never was. */
  lastSeenAt: string | null;
  connected: boolean;
  revokedAt: string | null;
}
