/** Stores a submission: the job, one run per node, and the end of runs that may not wait for their node. */
import { randomFillSync } from 'node:crypto';
import { agentCapability } from '../../domain/vocabulary.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { jobDetails } from '../audit/act.ts';
import type { Links } from '../nodes/links.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import type { JobOptions, JobRecord } from './jobs-table.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

/** Default time that a run may wait for its turn, ms. */
const DEFAULT_QUEUE_LIFETIME_MS = 24 * 3_600_000;

interface StoreJobOptions {
  store: BusStore;
  links: Links;
  clock: Clock;
  maxOutputBytes: number;
  /** Whether agents of a node are used only after an admin has approved them. */
  approveCapabilities?: boolean;
}

interface StoredJob {
  /** False if the idempotency key was known, so that nothing was stored. */
  isNew: boolean;
  job: JobRecord;
  runs: RunRecord[];
}

/** Inside a transaction. @throws FleetError `conflict` when the idempotency key belongs to another command. */
export function storeJob(
  request: SubmitJobRequest & { whole?: boolean },
  nodes: readonly NodeRecord[],
  target: string,
  submitter: string,
  { store, links, clock, maxOutputBytes, approveCapabilities = false }: StoreJobOptions,
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
    options: jobOptions(request, maxOutputBytes),
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
    const { agent } = request;
    if (approveCapabilities && agent !== undefined && !node.approvedCapabilities.includes(agentCapability(agent))) {
      const reason = `not_approved: the agent ${agent} of ${node.name} waits for an admin: fleet nodes approve ${node.name}`;
      return store.runs.end(run.id, 'rejected', reason, now);
    }
    const isTooLate = request.expiresMs === undefined && links.online(node.id) === undefined;
    return isTooLate ? store.runs.end(run.id, 'expired', 'node_offline', now) : run;
  });
  return { isNew: true, job, runs };
}

/** What the specs of the runs are built from, whenever that is. */
function jobOptions(request: SubmitJobRequest & { whole?: boolean }, maxOutputBytes: number): JobOptions {
  const { cwd, env, user, timeoutMs, stdin, lane, priority, flow, agent, whole } = request;
  const options = { cwd, env, user, timeoutMs, stdin, lane, priority, flow, agent, maxOutputBytes };
  return whole ? { ...options, whole } : options;
}

function assertSameJob(present: JobRecord, request: SubmitJobRequest): JobRecord {
  if (present.command === request.command && present.options.agent === request.agent) return present;
  throw new FleetError('conflict', `the idempotency key was used for another command, in job ${present.id}`, {
    hint: 'Use a new key for a new command.',
  });
}

const pool = Buffer.allocUnsafeSlow(4096);
let used = pool.length;

/** At most 4096 random bytes from a pool, which saves system calls. Not for secrets: the pool stays in memory. */
export function pooledRandomBytes(size: number): Uint8Array {
  if (used + size > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += size;
  return Uint8Array.prototype.slice.call(pool, used - size, used);
}
