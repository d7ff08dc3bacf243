/** Schedules: add, list, show, pause, resume, remove, look back, do now. */
import { sanitizeName } from '../../protocol/sanitize-name.ts';
import type { FiringView, ScheduledAction, ScheduledActionView, ScheduleView } from '../../protocol/schedule.ts';
import type { Clock } from '../../shared/clock.ts';
import { isoTime } from '../../shared/duration.ts';
import { type App, queryInteger } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import { newId } from '../identity/names.ts';
import { type ReportPlaces, resolveReportPath } from '../schedule/report-file.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import { type FiringRecord, MAX_HISTORY, type ScheduleRecord } from '../schedule/schedules-table.ts';
import { lookUp } from '../store/look-up.ts';
import { type ApiStore, findSchedule } from './find.ts';
import { addRoute } from './route.ts';

const DEFAULT_HISTORY = 20;

interface ScheduleRoutesOptions {
  store: ApiStore;
  scheduler: Scheduler;
  clock: Clock;
  logger: Logger;
  places: ReportPlaces;
  /** For schedules that name no time zone; IANA name. */
  localTimeZone: string;
}

export function addScheduleRoutes(app: App, options: ScheduleRoutesOptions): void {
  const { store, scheduler, clock, logger } = options;

  addRoute(app, 'GET /v1/schedules', () => ({ schedules: store.schedules.all().map(view) }));

  addRoute(app, 'POST /v1/schedules', async (request, reply, input) => {
    const { name, timeZone, ...asked } = input();
    if (asked.action.kind === 'report') resolveReportPath(asked.action.out, options.places);
    const now = clock.now();
    const schedule: ScheduleRecord = {
      ...asked,
      id: newId([store.schedules]),
      name: name ?? freeName(asked.action),
      timeZone: timeZone ?? options.localTimeZone,
      pausedAt: null,
      createdAt: now,
      createdBy: request.caller.name,
      cursor: now,
    };
    await scheduler.add(schedule);
    logger.info({ schedule: schedule.name, cron: schedule.cron, by: request.caller.name }, 'schedule added');
    return reply.code(201).send(view(schedule));
  });

  addRoute(app, 'GET /v1/schedules/:schedule', (request) => view(named(request.params)));

  addRoute(app, 'PATCH /v1/schedules/:schedule', async (request, _reply, input) => {
    const schedule = named(request.params);
    const { paused } = input();
    await scheduler.setPaused(schedule, paused);
    logger.info({ schedule: schedule.name, paused, by: request.caller.name }, 'schedule paused or resumed');
    return view(store.schedules.byId(schedule.id) ?? schedule);
  });

  addRoute(app, 'DELETE /v1/schedules/:schedule', async (request, reply) => {
    const schedule = named(request.params);
    await scheduler.remove(schedule);
    logger.info({ schedule: schedule.name, by: request.caller.name }, 'schedule removed');
    return reply.code(204).send();
  });

  addRoute(app, 'GET /v1/schedules/:schedule/history', (request) => {
    const limit = Math.min(queryInteger(request, 'limit') ?? DEFAULT_HISTORY, MAX_HISTORY);
    return { firings: store.schedules.history(named(request.params).id, limit).map(firingView) };
  });

  addRoute(app, 'POST /v1/schedules/:schedule/run', async (request, reply) => {
    const schedule = named(request.params);
    logger.info({ schedule: schedule.name, by: request.caller.name }, 'schedule begun by hand');
    request.act?.begins({});
    const firing = await scheduler.runNow(schedule);
    const isDone = firing.state !== 'skipped' && firing.state !== 'failed';
    request.act?.conclude(isDone ? 'ok' : 'failed', { job: firing.jobId, reason: firing.reason });
    return reply.code(202).send(firingView(firing));
  });

  function named(params: unknown): ScheduleRecord {
    return findSchedule(store, (params as { schedule: string }).schedule);
  }

  function freeName(action: ScheduledAction): string {
    const base = action.kind === 'report' ? 'report' : sanitizeName(firstWord(action.request.command)).slice(0, 50);
    for (let number = 1; ; number += 1) {
      const name = number === 1 ? base : `${base}-${number}`;
      if (lookUp(store.schedules, name).length === 0) return name;
    }
  }

  function view(schedule: ScheduleRecord): ScheduleView {
    const { id, name, cron, timeZone, overlap, catchUp, createdBy } = schedule;
    const [last] = store.schedules.history(id, 1);
    return {
      ...{ id, name, cron, timeZone, overlap, catchUp },
      action: actionView(schedule.action),
      paused: schedule.pausedAt !== null,
      createdAt: isoTime(schedule.createdAt),
      createdBy,
      nextAt: isoTime(scheduler.nextAt(schedule)),
      last: last === undefined ? null : firingView(last),
    };
  }
}

/** Field by field: what is stored holds values of environment variables. */
function actionView(action: ScheduledAction): ScheduledActionView {
  if (action.kind === 'report') {
    const { kind, format, sinceMs, out } = action;
    return { kind, format, sinceMs, out };
  }
  const { kind, command, agent, target, cwd, env, user, timeoutMs, expiresMs, lane, priority, flow } = action.request;
  // Members that are undefined are not in the JSON.
  const names = env === undefined ? {} : { env: Object.keys(env) };
  const request = { kind, command, agent, target, cwd, ...names, user, timeoutMs, expiresMs, lane, priority, flow };
  return { kind: 'job', request };
}

function firingView({ plannedAt, cause, state, firedAt, endedAt, jobId, reason, count }: FiringRecord): FiringView {
  return {
    plannedAt: isoTime(plannedAt),
    cause,
    state,
    firedAt: isoTime(firedAt),
    endedAt: isoTime(endedAt),
    job: jobId,
    reason,
    count,
  };
}

/** The program's name without its folder. */
function firstWord(command: string): string {
  return command.trim().split(/\s/)[0]?.split('/').at(-1) ?? '';
}
