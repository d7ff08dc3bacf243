/** Jobs: submit, follow, list, cancel, feed. */
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DEFAULT_JOB_LIST } from '../../domain/limits.ts';
import { isTerminal, RUN_STATES, type RunState } from '../../domain/states.ts';
import type { JobEvent, JobPage, JobView, SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import type { WhenBlocked } from '../../shared/http/send-stream.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Bus } from '../bus/bus.ts';
import type { JobFilter, JobRecord } from '../bus/jobs-table.ts';
import { isAllowed } from '../identity/permissions.ts';
import { type ApiStore, describeTarget, findJob, findNode, offlineNotTried, resolveTarget } from './find.ts';
import { checkOffsets, followJob, sendEvents } from './job-stream.ts';
import { addRoute } from './route.ts';
import { jobView, type ViewSources } from './views.ts';

const MAX_LIST_LIMIT = 10_000;
/** Jobs that are read at once: each may have a megabyte of command and environment. */
const LIST_BATCH = 20;
/** A page is full from here on, and what one run of it takes; both in bytes, roughly. */
const PAGE_BYTES = 4 * 1024 * 1024;
const RUN_BYTES = 500;

interface JobRoutesOptions extends ViewSources {
  bus: Bus;
  store: ApiStore;
  clock: Clock;
  logger: Logger;
}

export function addJobRoutes(app: App, options: JobRoutesOptions): void {
  const { bus, store, logger } = options;

  addRoute(app, 'POST /v1/jobs', async (request, reply, input) => {
    const asked = input();
    // What is submitted again has its nodes already; by now others may be meant, or none.
    const known = !('node' in asked.target) && isKnown(asked, request.caller.name);
    const nodes = known ? [] : resolveTarget(asked, options);
    const whole = isWhole(request);
    const { job, runs } = await bus.submit({ ...asked, whole }, nodes, describeTarget(asked), request.caller.name);
    // The audit log has it for good; at `info`, a busy hour would push everything else out of the file.
    logger.debug({ job: job.id, runs: runs.length, by: request.caller.name }, 'job accepted');
    if (asked.follow) return await follow(reply, job, { from: {}, whole, notTried: offlineNotTried(asked, options) });
    return reply.code(201).send(jobView(job, runs));
  });

  addRoute(app, 'GET /v1/jobs', (request) => {
    const node = queryText(request, 'node');
    const state = queryText(request, 'state');
    if (state !== undefined && !RUN_STATES.includes(state as RunState)) {
      throw new FleetError('usage', `there is no state ${state}`, { hint: `The states: ${RUN_STATES.join(', ')}` });
    }
    const limit = Math.min(queryInteger(request, 'limit') ?? DEFAULT_JOB_LIST, MAX_LIST_LIMIT);
    const filter = {
      since: queryInteger(request, 'since') ?? 0,
      nodeId: node === undefined ? undefined : findNode(store, node).id,
      state,
    };
    return page(filter, queryInteger(request, 'before'), limit);
  });

  addRoute(app, 'GET /v1/jobs/:job', (request) => view(findJob(store, request.params.job)));

  addRoute(app, 'POST /v1/jobs/:job/follow', async (request, reply, input) => {
    const { from } = input();
    const job = findJob(store, request.params.job);
    // Once the stream has begun, a wrong offset could only break it off, and whoever follows would take that for a lost connection.
    if (from !== undefined) checkOffsets(store, store.runs.ofJob(job.id), from);
    const whole = isWhole(request);
    if (whole && !isAllowed(request.caller.role, 'jobs.run')) {
      throw new FleetError('forbidden', `role ${request.caller.role} may not take the output of a job whole`);
    }
    return await follow(reply, job, { from: from ?? {}, whole });
  });

  // Whoever reads here slows the command, so reading alone is not enough.
  addRoute(app, 'GET /v1/jobs/:job/live', async (request, reply) => {
    const job = findJob(store, request.params.job);
    const [only] = store.runs.ofJob(job.id);
    if (only === undefined || !job.options.whole)
      throw new FleetError('conflict', `job ${job.id} is not passed on whole`);
    const from = queryInteger(request, 'from') ?? 0;
    return await stream(reply, job, true, (signal) => bus.carriers.live.follow(only, from, signal));
  });

  addRoute(app, 'POST /v1/jobs/:job/cancel', async (request) => {
    const job = findJob(store, request.params.job);
    request.act?.note({ job: job.id });
    const open = store.runs.ofJob(job.id).filter(({ state }) => !isTerminal(state));
    await bus.cancel(open, `canceled by ${request.caller.name}`);
    logger.info({ job: job.id, runs: open.length, by: request.caller.name }, 'job cancel asked');
    return view(job);
  });

  addRoute(app, 'POST /v1/jobs/:job/stdin', async (request, reply) => {
    const job = findJob(store, request.params.job);
    const [target] = store.runs.ofJob(job.id);
    if (target === undefined || !job.options.stdin) throw new FleetError('conflict', `job ${job.id} takes no stdin`);
    if (!(request.body instanceof Readable)) {
      throw new FleetError('bad_request', 'stdin is sent as application/octet-stream');
    }
    request.act?.begins({ job: job.id });
    await request.act?.record();
    request.act?.conclude(await bus.forwardStdin(target, request.body));
    return reply.code(204).send();
  });

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

  /** The stored events. Of a job that is passed on whole, the node hears for as long that somebody is there. */
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
    const leave = whole ? store.runs.ofJob(job.id).map((each) => bus.carriers.live.attend(each)) : [];
    try {
      await sendEvents(reply, open);
    } catch (error) {
      // Once the answer has begun, nobody else tells it.
      if (!reply.sent) throw error;
      logger.warn({ err: error, job: job.id }, 'following a job failed');
    } finally {
      for (const each of leave) each();
    }
    return reply;
  }
}

/** The caller takes all of the output. In the query, since an older gateway refuses a body with an unknown field. */
function isWhole(request: FastifyRequest): boolean {
  return queryText(request, 'whole') === 'true';
}
