/** What a running node tells people on its own machine, over its control socket (nodes/PROFILE/node.sock). Times are ISO 8601 UTC. */

/** The node's own say in what its gateway may ask (docs/policy.md). Null where a rule restricts nothing. */
export interface NodePolicyView {
  readonly kinds: readonly ('shell' | 'agent')[];
  readonly commands: { readonly allow: readonly string[]; readonly exact: readonly string[] } | null;
  readonly deny: readonly string[];
  /** Besides the node's own user. */
  readonly users: readonly string[] | null;
  /** Where null, all but those that can make other programs run. */
  readonly env: readonly string[] | null;
  /** Besides the home folder of the user. */
  readonly folders: readonly string[] | null;
  readonly maxConcurrency: number | null;
}

/** `GET /v1/status`. */
export interface NodeStatusView {
  profile: string;
  /** As the gateway calls it; null while it is not paired. */
  name: string | null;
  id: string | null;
  gateway: string;
  /** `pending`: waits for an operator's approval, with the code to compare. */
  state: 'connecting' | 'pairing' | 'pending' | 'online' | 'waiting' | 'stopped';
  pendingCode: string | null;
  /** Why the last attempt failed; null while online. */
  lastError: { code: string; message: string; hint?: string } | null;
  /** When the next attempt begins; only in `waiting`. */
  retryAt: string | null;
  connectedSince: string | null;
  rttMs: number | null;
  /** Node's clock minus gateway's, ms. */
  skewMs: number | null;
  runsActive: number;
  /** Null without one. */
  policy: NodePolicyView | null;
  /** What the agent itself finds wrong. */
  faults: string[];
  pid: number;
  version: string;
  startedAt: string;
  /** Connections made so far. */
  connects: number;
}

/** `POST /v1/shutdown` answers this with 202 and then ends the process; commands that run go on and are adopted by the next start. */
export interface ShutdownAnswer {
  pid: number;
}

/** `POST /v1/rotate-key`. */
export interface RotateKeyView {
  /** `waiting`: the node is not connected; the key changes with its next connect. */
  state: 'rotated' | 'waiting';
  /** Of the new key: `SHA256:…`. */
  fingerprint: string;
}
