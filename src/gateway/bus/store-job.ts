/** Writes a submission down: the job, one run for each node, and the end of those that may not wait for an absent node. */
import { randomFillSync } from 'node:crypto';
import { agentCapability } from '../../domain/agent/agent-capability.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { jobDetails } from '../audit/act.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import type { Sessions } from '../nodes/sessions.ts';
import type { JobRecord } from './jobs-table.ts';
import { jobOptions } from './run-facts.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

/** How long a run that was accepted while its node was online may wait for its turn, ms: a day. */
const DEFAULT_QUEUE_LIFETIME_MS = 24 * 3_600_000;

interface StoreJobOptions {
  store: BusStore;
  sessions: Sessions;
  clock: Clock;
  maxOutputBytes: number;
  /** Whether an agent is used only once an admin has approved it. */
  approveCapabilities?: boolean;
}

interface StoredJob {
  /** False when the idempotency key was known: nothing was stored then. */
  isNew: boolean;
  job: JobRecord;
  runs: RunRecord[];
}

/** To be called within a write. @throws FleetError `conflict` when the idempotency key belongs to another command. */
export function storeJob(
  request: SubmitJobRequest & { whole?: boolean },
  nodes: readonly NodeRecord[],
  target: string,
  submitter: string,
  { store, sessions, clock, maxOutputBytes, approveCapabilities = false }: StoreJobOptions,
): StoredJob {
  const key = request.idempotencyKey ?? null;
  const present = key === null ? undefined : store.jobs.byIdempotencyKey(submitter, key);
  if (present !== undefined) {
    store.audit.describe('job.repeat', { job: present.id, idempotencyKey: key }, submitter);
    return { isNew: false, job: assertSameJob(present, request), runs: store.runs.ofJob(present.id) };
  }
  const now = clock.now();
  const job = store.jobs.insert({
    id: randomBase32(12, pooledRandomBytes),
    kind: request.kind,
    command: request.command,
    options: { ...jobOptions(request, maxOutputBytes), ...(request.whole ? { whole: true } : {}) },
    target,
    createdAt: now,
    createdBy: submitter,
    idempotencyKey: key,
  });
  store.audit.describe('job.submit', jobDetails(job.id, request, nodes, target), submitter);
  const expiresAt = now + (request.expiresMs ?? DEFAULT_QUEUE_LIFETIME_MS);
  const runs = nodes.map((node, index) => {
    const ids = { jobSeq: job.seq, jobId: job.id, index, nodeId: node.id, nodeName: node.name };
    const run = store.runs.insert({ ...ids, queuedAt: now, expiresAt });
    if (approveCapabilities && request.agent !== undefined && !mayRun(node, request.agent)) {
      const reason = `not_approved: the agent ${request.agent} of ${node.name} waits for an admin: fleet nodes approve ${node.name}`;
      return store.runs.move(run.id, 'rejected', { reason, endedAt: now });
    }
    const isTooLate = request.expiresMs === undefined && sessions.online(node.id) === undefined;
    return isTooLate ? store.runs.move(run.id, 'expired', { reason: 'node_offline', endedAt: now }) : run;
  });
  return { isNew: true, job, runs };
}

function mayRun({ approvedCapabilities }: NodeRecord, agent: string): boolean {
  return approvedCapabilities.includes(agentCapability(agent));
}

function assertSameJob(present: JobRecord, request: SubmitJobRequest): JobRecord {
  if (present.command === request.command && present.options.agent === request.agent) return present;
  throw new FleetError('conflict', `the idempotency key was used for another command, in job ${present.id}`, {
    hint: 'Take a fresh key for a fresh command.',
  });
}

const pool = Buffer.allocUnsafeSlow(4096);
let used = pool.length;

/** Random bytes, at most 4096, from a pool: a call to the system costs more than the bytes. Not for secrets: the pool stays in memory. */
export function pooledRandomBytes(size: number): Uint8Array {
  if (used + size > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += size;
  return Uint8Array.prototype.slice.call(pool, used - size, used);
}
