/** Schedules as the API speaks of them: when something is to be done, what, and what became of it. */
import { z } from 'zod';
import { positiveMs } from './bounded.ts';
import { submitJobFields } from './job-messages.ts';
import { nodeNameSchema } from './names.ts';
import type { FiringCause, FiringState } from './schedule-words.ts';
import { CATCH_UPS, OVERLAPS, REPORT_FORMATS } from './schedule-words.ts';

/** Longest path of a report, bytes: PATH_MAX of Linux, less its NUL. */
const MAX_PATH_LENGTH = 4_095;

/** A job as somebody would submit it now; the schedule says when, and gives the key. */
const scheduledJob = submitJobFields
  .omit({ idempotencyKey: true, follow: true, stdin: true })
  .refine(
    ({ kind, agent }) => (kind === 'agent') === (agent !== undefined),
    'an agent is named with the kind agent only',
  )
  .refine(({ kind, target }) => kind === 'agent' || !('any' in target), 'any node is for the kind agent only');

export const scheduledActionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('job'), request: scheduledJob }),
  z.strictObject({
    kind: z.literal('report'),
    format: z.enum(REPORT_FORMATS),
    /** How far back the report looks, ms. */
    sinceMs: positiveMs,
    /** On the gateway's machine: absolute, or below HOME/reports. */
    out: z.string().min(1).max(MAX_PATH_LENGTH),
  }),
]);
export type ScheduledAction = z.infer<typeof scheduledActionSchema>;

/** A scheduled action as it is shown: names of environment variables, never their values. */
export type ScheduledActionView =
  | Extract<ScheduledAction, { kind: 'report' }>
  | { kind: 'job'; request: Omit<z.infer<typeof scheduledJob>, 'env'> & { env?: string[] } };

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
export type AddScheduleRequest = z.input<typeof addScheduleRequest>;

export const changeScheduleRequest = z.strictObject({ paused: z.boolean() });

/** One time at which a schedule was due, and what became of it. Times are ISO 8601 UTC. */
export interface FiringView {
  plannedAt: string;
  cause: FiringCause;
  state: FiringState;
  /** When it was begun; null when it was not. */
  firedAt: string | null;
  endedAt: string | null;
  /** The job that it made; null for reports, and when it made none. */
  job: string | null;
  /** Why it is as it is, for people. */
  reason: string | null;
  /** How many times of the schedule this entry stands for; more than 1 for missed ones. */
  count: number;
}

export interface ScheduleView {
  id: string;
  name: string;
  cron: string;
  timeZone: string;
  overlap: (typeof OVERLAPS)[number];
  catchUp: (typeof CATCH_UPS)[number];
  action: ScheduledActionView;
  paused: boolean;
  createdAt: string;
  createdBy: string;
  /** Null while it is paused, and when there is no such time any more. */
  nextAt: string | null;
  last: FiringView | null;
}
