/** Schedules as the API speaks of them: when something is to be done, what, and what became of it. */
import { z } from 'zod';
import { figure, positiveMs, shown, shownList, text } from '../domain/bounded.ts';
import { nodeNameSchema } from '../domain/names.ts';
import { CATCH_UPS, FIRING_CAUSES, FIRING_STATES, OVERLAPS, REPORT_FORMATS } from '../domain/vocabulary.ts';
import { submitJobFields } from './job-messages.ts';

/** Longest path of a report, bytes: PATH_MAX of Linux, less its NUL. */
const MAX_PATH_LENGTH = 4_095;

/** A job as one would submit it now; the schedule adds the time and the idempotency key. */
const scheduledJobFields = submitJobFields.omit({ idempotencyKey: true, follow: true, stdin: true });
const scheduledJob = scheduledJobFields
  .refine(
    ({ kind, agent }) => (kind === 'agent') === (agent !== undefined),
    'an agent is named with the kind agent only',
  )
  .refine(({ kind, target }) => kind === 'agent' || !('any' in target), 'any node is for the kind agent only');

const scheduledReport = z.strictObject({
  kind: z.literal('report'),
  format: z.enum(REPORT_FORMATS),
  /** How far back the report looks, ms. */
  sinceMs: positiveMs,
  /** On the gateway's machine: absolute, or below HOME/reports. */
  out: z.string().min(1).max(MAX_PATH_LENGTH),
});

const scheduledActionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('job'), request: scheduledJob }),
  scheduledReport,
]);
export type ScheduledAction = z.infer<typeof scheduledActionSchema>;

/** A scheduled action as it is shown: names of environment variables, never their values. */
const scheduledActionView = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('job'), request: scheduledJobFields.extend({ env: shownList.optional() }) }),
  scheduledReport,
]);
export type ScheduledActionView = z.infer<typeof scheduledActionView>;

export const addScheduleRequest = z.strictObject({
  /** Made of the action when absent. */
  name: nodeNameSchema.optional(),
  /** Five fields as in crontab(5), or a nickname such as `@daily`. */
  cron: z.string().min(1).max(256),
  /** IANA name; the gateway's own when absent. */
  timeZone: z.string().min(1).max(64).optional(),
  overlap: z.enum(OVERLAPS).default('skip'),
  catchUp: z.enum(CATCH_UPS).default('once'),
  action: scheduledActionSchema,
});

export const changeScheduleRequest = z.strictObject({ paused: z.boolean() });

/** One time at which a schedule was due, and the result. Times are ISO 8601 UTC. */
export const firingViewSchema = z.object({
  plannedAt: shown,
  cause: z.enum(FIRING_CAUSES),
  state: z.enum(FIRING_STATES),
  /** When it was begun; null when it was not. */
  firedAt: shown.nullable(),
  endedAt: shown.nullable(),
  /** The job that it made; null for reports, and when it made none. */
  job: shown.nullable(),
  /** Why it is as it is, for people. */
  reason: text.nullable(),
  /** How many times of the schedule this entry stands for; more than 1 for missed ones. */
  count: figure,
});
export type FiringView = z.infer<typeof firingViewSchema>;

export const scheduleViewSchema = z.object({
  id: shown,
  name: shown,
  cron: shown,
  timeZone: shown,
  overlap: z.enum(OVERLAPS),
  catchUp: z.enum(CATCH_UPS),
  action: scheduledActionView,
  paused: z.boolean(),
  createdAt: shown,
  createdBy: shown,
  /** Null while it is paused, and when there is no such time any more. */
  nextAt: shown.nullable(),
  last: firingViewSchema.nullable(),
});
export type ScheduleView = z.infer<typeof scheduleViewSchema>;
