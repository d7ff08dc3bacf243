/** Schedules: add, list, show, pause, resume, remove, history, run now. */
import { sanitizeName } from '../../domain/vocabulary.ts';
import type { FiringView, ScheduledAction, ScheduledActionView, ScheduleView } from '../../protocol/schedule.ts';
import { isoTime } from '../../shared/duration.ts';
import { newId } from '../identity/names.ts';
import { resolveReportPath } from '../schedule/report-file.ts';
import { type FiringRecord, MAX_HISTORY, type ScheduleRecord } from '../schedule/schedules-table.ts';
import { lookUp } from '../store/look-up.ts';
import { findSchedule } from './find.ts';
import type { ApiContext, Handlers } from './route.ts';

const DEFAULT_HISTORY = 20;

export function scheduleRoutes(context: ApiContext) {
  const { store, scheduler, clock, logger } = context;

  return {
    'GET /v1/schedules': () => ({ schedules: store.schedules.all().map(view) }),

    'POST /v1/schedules': async ({ body, caller }, reply) => {
      const { name, timeZone, ...asked } = body;
      if (asked.action.kind === 'report') resolveReportPath(asked.action.out, context.places);
      const now = clock.now();
      const schedule: ScheduleRecord = {
        ...asked,
        id: newId([store.schedules]),
        name: name ?? freeName(asked.action),
        timeZone: timeZone ?? context.localTimeZone,
        pausedAt: null,
        createdAt: now,
        createdBy: caller.name,
        cursor: now,
      };
      await scheduler.add(schedule);
      logger.info({ schedule: schedule.name, cron: schedule.cron, by: caller.name }, 'schedule added');
      return reply.code(201).send(view(schedule));
    },

    'GET /v1/schedules/:schedule': ({ params }) => view(findSchedule(store, params.schedule)),

    'PATCH /v1/schedules/:schedule': async (request) => {
      const schedule = findSchedule(store, request.params.schedule);
      const { paused } = request.body;
      await scheduler.setPaused(schedule, paused);
      logger.info({ schedule: schedule.name, paused, by: request.caller.name }, 'schedule paused or resumed');
      return view(store.schedules.byId(schedule.id) ?? schedule);
    },

    'DELETE /v1/schedules/:schedule': async ({ params, caller }, reply) => {
      const schedule = findSchedule(store, params.schedule);
      await scheduler.remove(schedule);
      logger.info({ schedule: schedule.name, by: caller.name }, 'schedule removed');
      return reply.code(204).send();
    },

    'GET /v1/schedules/:schedule/history': ({ params, query: { limit = DEFAULT_HISTORY } }) => {
      const { id } = findSchedule(store, params.schedule);
      return { firings: store.schedules.history(id, Math.min(limit, MAX_HISTORY)).map(firingView) };
    },

    'POST /v1/schedules/:schedule/run': async ({ params, act, caller }, reply) => {
      const schedule = findSchedule(store, params.schedule);
      logger.info({ schedule: schedule.name, by: caller.name }, 'schedule started by hand');
      act?.begins({});
      const firing = await scheduler.runNow(schedule);
      const isDone = firing.state !== 'skipped' && firing.state !== 'failed';
      act?.conclude(isDone ? 'ok' : 'failed', { job: firing.jobId, reason: firing.reason });
      return reply.code(202).send(firingView(firing));
    },
  } satisfies Partial<Handlers>;

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

/** Field by field: the stored request has values of environment variables. */
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
