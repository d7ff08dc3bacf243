/** Jobs: submit, follow, list, cancel, send stdin. */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { DEFAULT_JOB_LIST } from '../../domain/limits.ts';
import { isTerminal, RUN_STATES, type RunState } from '../../domain/states.ts';
import type { JobEvent, JobPage, JobView, SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import type { WhenBlocked } from '../../shared/http/send-stream.ts';
import type { JobFilter, JobRecord } from '../bus/jobs-table.ts';
import { isAllowed } from '../identity/permissions.ts';
import { describeTarget, findJob, findNode, offlineNotTried, resolveTarget } from './find.ts';
import { checkOffsets, followJob, sendEvents } from './job-stream.ts';
import type { ApiContext, Handlers } from './route.ts';
import { jobView } from './views.ts';

const MAX_LIST_LIMIT = 10_000;
/** Jobs per read: each may have a megabyte of command and environment. */
const LIST_BATCH = 20;
/** Approximate size of a full page, and of one run in it; bytes. */
const PAGE_BYTES = 4 * 1024 * 1024;
const RUN_BYTES = 500;

export function jobRoutes(context: ApiContext) {
  const { bus, store, logger } = context;

  return {
    'POST /v1/jobs': async (request, reply) => {
      const { body: asked, caller } = request;
      // A repeated submission has its nodes already; the target may match others by now, or none.
      const known = !('node' in asked.target) && isKnown(asked, caller.name);
      const nodes = known ? [] : resolveTarget(asked, context);
      const whole = request.query.whole === true;
      const { job, runs } = await bus.submit({ ...asked, whole }, nodes, describeTarget(asked), caller.name);
      // The audit log keeps it; at `info`, a busy hour would push everything else out of the file.
      logger.debug({ job: job.id, runs: runs.length, by: caller.name }, 'job accepted');
      if (asked.follow) return await follow(reply, job, { from: {}, whole, notTried: offlineNotTried(asked, context) });
      return reply.code(201).send(jobView(job, runs));
    },

    'GET /v1/jobs': ({ query: { node, state, since = 0, limit = DEFAULT_JOB_LIST, before } }) => {
      if (state !== undefined && !RUN_STATES.includes(state as RunState)) {
        throw new FleetError('usage', `there is no state ${state}`, { hint: `The states: ${RUN_STATES.join(', ')}` });
      }
      const nodeId = node === undefined ? undefined : findNode(store, node).id;
      return page({ since, nodeId, state }, before, Math.min(limit, MAX_LIST_LIMIT));
    },

    'GET /v1/jobs/:job': ({ params }) => view(findJob(store, params.job)),

    'POST /v1/jobs/:job/follow': async (request, reply) => {
      const { from } = request.body;
      const job = findJob(store, request.params.job);
      // Once the stream has begun, a wrong offset could only break it, which the follower would take for a lost connection.
      if (from !== undefined) checkOffsets(store, store.runs.ofJob(job.id), from);
      const whole = request.query.whole === true;
      const { role } = request.caller;
      if (whole && !isAllowed(role, 'jobs.run')) {
        throw new FleetError('forbidden', `role ${role} may not take the whole output of a job`);
      }
      return await follow(reply, job, { from: from ?? {}, whole });
    },

    'GET /v1/jobs/:job/live': async (request, reply) => {
      const job = findJob(store, request.params.job);
      const [only] = store.runs.ofJob(job.id);
      if (only === undefined || !job.options.whole) {
        throw new FleetError('conflict', `job ${job.id} was not submitted with whole output`);
      }
      const { from = 0 } = request.query;
      return await stream(reply, job, true, (signal) => bus.live.follow(only, from, signal));
    },

    'POST /v1/jobs/:job/cancel': async ({ params, act, caller }) => {
      const job = findJob(store, params.job);
      act?.note({ job: job.id });
      const open = store.runs.ofJob(job.id).filter(({ state }) => !isTerminal(state));
      await bus.cancel(open, `canceled by ${caller.name}`);
      logger.info({ job: job.id, runs: open.length, by: caller.name }, 'job cancel requested');
      return view(job);
    },

    'POST /v1/jobs/:job/stdin': async ({ params, act, raw: { body } }, reply) => {
      const job = findJob(store, params.job);
      const [target] = store.runs.ofJob(job.id);
      if (target === undefined || !job.options.stdin) throw new FleetError('conflict', `job ${job.id} takes no stdin`);
      if (!(body instanceof Readable)) {
        throw new FleetError('bad_request', 'stdin must be sent as application/octet-stream');
      }
      act?.begins({ job: job.id });
      await act?.record();
      act?.conclude(await bus.forwardStdin(target, body));
      return reply.code(204).send();
    },
  } satisfies Partial<Handlers>;

  function isKnown({ idempotencyKey }: SubmitJobRequest, submitter: string): boolean {
    return idempotencyKey !== undefined && store.jobs.byIdempotencyKey(submitter, idempotencyKey) !== undefined;
  }

  /** The newest jobs before number `before`, as many as make a full page. */
  function page(filter: Omit<JobFilter, 'limit'>, before: number | undefined, limit: number): JobPage {
    const jobs: JobView[] = [];
    let next = before;
    for (let bytes = 0; jobs.length < limit; ) {
      const batch = store.jobs.list({ ...filter, before: next, limit: Math.min(LIST_BATCH, limit - jobs.length) });
      for (const job of batch) {
        const shown = view(job);
        jobs.push(shown);
        next = job.seq;
        const reasons = shown.runs.reduce((sum, { reason }) => sum + (reason?.length ?? 0), 0);
        bytes += shown.command.length + shown.target.length + shown.runs.length * RUN_BYTES + reasons;
        if (bytes >= PAGE_BYTES) return { jobs, next: jobs.length < limit ? next : null };
      }
      if (batch.length < LIST_BATCH) break;
    }
    return { jobs, next: null };
  }

  function view(job: JobRecord): JobView {
    return jobView(job, store.runs.ofJob(job.id));
  }

  /** The stored events. For a job with whole output, the node knows meanwhile that it has a reader. */
  async function follow(
    reply: FastifyReply,
    job: JobRecord,
    { from, whole, notTried = [] }: { from: Record<string, number>; whole: boolean; notTried?: string[] },
  ): Promise<FastifyReply> {
    const options = { store, feed: bus.feed, jobId: job.id, from, notTried };
    return await stream(reply, job, whole, (signal, whenBlocked) => followJob({ ...options, signal, whenBlocked }));
  }

  async function stream(
    reply: FastifyReply,
    job: JobRecord,
    whole: boolean,
    open: (signal: AbortSignal, whenBlocked: WhenBlocked) => AsyncIterable<JobEvent>,
  ): Promise<FastifyReply> {
    const leave = whole ? store.runs.ofJob(job.id).map((each) => bus.live.attend(each)) : [];
    try {
      await sendEvents(reply, open);
    } catch (error) {
      // Once the answer has begun, nothing else reports it.
      if (!reply.sent) throw error;
      logger.warn({ err: error, job: job.id }, 'following a job failed');
    } finally {
      for (const each of leave) each();
    }
    return reply;
  }
}
