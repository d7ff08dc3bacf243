/** What the audit log records: who acted, what they did, and how jobs and runs are described. */
import type { AuditActor, AuditRow } from '../../domain/audit.ts';
import { foldNodeNames } from '../../domain/node-set.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';

export type ActDetails = Record<string, unknown>;
/** A row before the log gives it its number, time and hashes. */
export type AuditEntry = Pick<AuditRow, 'actor' | 'action' | 'outcome' | 'details'>;

/** The actor for what the gateway does on its own. */
export const GATEWAY_ACTOR: AuditActor = { name: 'gateway', role: 'gateway', via: 'gateway', key: null, address: null };

export interface KeyHolder {
  publicKey: Buffer;
  remoteAddress: string;
}

/** The actor behind an SSH connection; unknown unless `name` and `role` are given. */
export function actorOfKey({ publicKey, remoteAddress }: KeyHolder, name = 'unknown', role = 'unknown'): AuditActor {
  return { name, role, via: 'ssh', key: formatFingerprint(sshPublicKeyBlob(publicKey)), address: remoteAddress };
}

/** One request to the gateway, until its row is in the audit log. */
export class Act implements AuditEntry {
  readonly actor: AuditActor;
  action: string;
  outcome = 'ok';
  #details: ActDetails;
  /** Names of the fields in the request's body, recorded until the handler gives details. */
  #fields: readonly string[] | undefined;
  #state: 'open' | 'claimed' | 'closed' = 'open';

  constructor(actor: AuditActor, action: string, details: ActDetails = {}, fields?: readonly string[]) {
    this.actor = actor;
    this.action = action;
    this.#details = details;
    this.#fields = fields;
  }

  get details(): ActDetails {
    return this.#fields === undefined ? this.#details : { ...this.#details, fields: this.#fields };
  }

  /** Whether its row is still to be stored. */
  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Adds details, which must not contain secrets. */
  note(details: ActDetails, action = this.action): void {
    this.action = action;
    this.#fields = undefined;
    this.#details = { ...this.#details, ...details };
  }

  /** For an act that takes a while: the next row says only that it has begun; {@link conclude} leads to the row with the result. */
  begins(details: ActDetails): void {
    this.note(details);
    this.outcome = 'begun';
  }

  /** @param outcome `ok`, `failed`, or an error code. */
  conclude(outcome: string, details: ActDetails = {}): void {
    if (this.outcome === 'begun' && this.#state === 'closed') this.#state = 'open';
    this.note(details);
    this.outcome = outcome;
  }

  /** Takes on storing the row: true for one caller only, until {@link settle} reports a failure. */
  claim(): boolean {
    if (this.#state !== 'open') return false;
    this.#state = 'claimed';
    return true;
  }

  /** Ends a claim. */
  settle(stored: boolean): void {
    this.#state = stored ? 'closed' : 'open';
  }

  /** Marks it as not done, so that no later write of the request records it. */
  refuse(): void {
    if (this.#state === 'open') this.#state = 'closed';
  }
}

/**
 * Details of an accepted job: the request verbatim, except that only the names of environment variables are recorded.
 * The command may contain secrets; it is recorded because it is what was run.
 */
export function jobDetails(
  id: string,
  request: SubmitJobRequest,
  nodes: readonly { name: string }[],
  target: string,
): ActDetails {
  const { kind, command, agent, cwd, env, user, timeoutMs, stdin, expiresMs, lane, flow, idempotencyKey } = request;
  // JSON leaves undefined members out.
  return {
    job: id,
    kind,
    agent,
    command,
    target,
    nodes: foldNodeNames(nodes.map(({ name }) => name)),
    runs: nodes.length,
    cwd,
    user,
    env: env && Object.keys(env),
    stdin,
    timeoutMs,
    expiresMs,
    lane,
    flow,
    idempotencyKey,
  };
}

type RunMember = 'jobId' | 'id' | 'nodeName' | 'nodeId' | 'state' | 'exitCode' | 'signal' | 'reason';

/** The row for the end of a run. */
export function runEndRow(run: Readonly<Record<RunMember, unknown>>): AuditEntry {
  const { jobId, id, nodeName, nodeId, state, exitCode, signal, reason } = run;
  return {
    actor: GATEWAY_ACTOR,
    action: 'run.end',
    outcome: 'ok',
    details: { job: jobId, run: id, node: nodeName, nodeId, state, exitCode, signal, reason },
  };
}
