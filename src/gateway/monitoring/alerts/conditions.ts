/** The conditions of alert rules: what each is given in the configuration, and how it is evaluated. A new one is one entry here. */
import { z } from 'zod';
import { fullestDiskPct, type Heartbeat, memUsedPct, mostInodesPct } from '../../../protocol/heartbeat.ts';
import { intervalSchema } from '../../../shared/config.ts';
import { formatDuration } from '../../../shared/duration.ts';
import type { NodeHealth } from '../judge/monitor.ts';

/** All that conditions know about a node. */
export interface NodeFacts extends Pick<NodeHealth, 'status' | 'reasons' | 'link'> {
  /** Undefined while the node is offline: nothing is known about it then. */
  latest: NodeHealth['latest'];
  /** The disk that will be full first, as far as its history tells; `fullAt` in ms. */
  diskFull: { mount: string; fullAt: number } | null;
  /** Whether two machines seem to use its key. */
  hasClone: boolean;
  /** Whether its token was refused, and nothing from it was accepted since. */
  hasTokenProblem: boolean;
}

export interface Judgement {
  /** Null if unknown. */
  holds: boolean | null;
  /** States the fact and its limit, for a person. */
  summary: string;
}

interface Metric {
  name: string;
  unit: string;
  read(beat: Heartbeat, facts: NodeFacts): number | null;
}

/** Figures of a heartbeat that a rule may compare with a limit. */
const METRICS = {
  cpuPct: metric('CPU', '%', (beat) => beat.cpuPct),
  load1: metric('load', '', (beat) => beat.load1),
  loadPerCore: metric('load per core', '', ({ load1, cores }) =>
    load1 === null || cores === null ? null : load1 / cores,
  ),
  memUsedPct: metric('memory', '%', memUsedPct),
  swapUsedPct: metric('swap', '%', ({ swapUsedBytes: used, swapTotalBytes: total }) =>
    used === null || !total ? null : (used / total) * 100,
  ),
  diskUsedPct: metric('fullest disk', '%', fullestDiskPct),
  inodesUsedPct: metric('inodes', '%', mostInodesPct),
  rttMs: metric('round trip', ' ms', (beat) => beat.rttMs),
  lostPct: metric('lost keepalives', '%', (_, { link }) => link.lostPct),
  temperatureC: metric('temperature', ' °C', (beat) => beat.temperatureC),
  // A low battery that charges is no news.
  batteryPct: metric('battery', '%', ({ battery }) => (battery?.charging ? 100 : (battery?.percent ?? null))),
  agentLagMs: metric('event loop lag', ' ms', (beat) => beat.node.eventLoopLagMs),
  runsActive: metric('runs in progress', '', (beat) => beat.runsActive),
};

/** A figure must stay clear of its limit for this long before the alert ends, unless the rule says otherwise, ms. */
const FIGURE_CLEAR_MS = 60_000;

/** By the name of their option. `clearForMs`: default of a rule's `clearFor`. */
const CONDITIONS = {
  status: condition(z.enum(['limited', 'error', 'offline']), (status, { status: current, reasons }) => ({
    holds: current === status,
    summary: `${status}${reasons.length === 0 ? '' : `: ${reasons.join('; ')}`}`,
  })),
  metric: condition(
    z.enum(Object.keys(METRICS) as [keyof typeof METRICS]),
    (metric, facts, _now, { above, below }) => {
      const { name, unit, read } = METRICS[metric];
      const value = facts.latest === undefined ? null : read(facts.latest.beat, facts);
      const limit = above ?? below ?? 0;
      return {
        holds: value === null ? null : above === undefined ? value <= limit : value >= limit,
        summary: `${name} ${value === null ? 'unknown' : `${tenths(value)}${unit}`} (limit ${limit}${unit})`,
      };
    },
    FIGURE_CLEAR_MS,
  ),
  diskFullWithin: condition(intervalSchema, (withinMs, { diskFull }, now) => {
    if (diskFull === null) return { holds: false, summary: 'no disk will be full soon' };
    const leftMs = diskFull.fullAt - now;
    const left = formatDuration(Math.max(0, leftMs));
    return { holds: leftMs <= withinMs, summary: `disk ${diskFull.mount} will be full in ${left} at the current rate` };
  }),
  skew: condition(
    intervalSchema,
    (limitMs, { latest }) => {
      if (latest?.skewMs === undefined || latest.skewMs === null) return { holds: null, summary: 'clock unknown' };
      const offMs = Math.abs(latest.skewMs);
      const direction = latest.skewMs > 0 ? 'ahead' : 'behind';
      return {
        holds: offMs >= limitMs,
        summary: `clock ${formatDuration(offMs)} ${direction} (limit ${formatDuration(limitMs)})`,
      };
    },
    FIGURE_CLEAR_MS,
  ),
  flapping: condition(z.number().int().min(1).max(1_000), (limit, { link: { reconnectsPerHour } }) => ({
    holds: reconnectsPerHour >= limit,
    summary: `${reconnectsPerHour} reconnects in the last hour (limit ${limit})`,
  })),
  clone: condition(z.literal(true), (_, { hasClone }) => ({
    holds: hasClone,
    summary: 'two machines seem to use the key of this node',
  })),
  tokenProblem: condition(z.literal(true), (_, { hasTokenProblem }) => ({
    holds: hasTokenProblem,
    summary: 'the gateway rejects the token of this node',
  })),
};

interface Condition<T> {
  option: z.ZodType<T>;
  clearForMs: number;
  judge(
    value: T,
    facts: NodeFacts,
    now: number,
    limits: { above?: number | undefined; below?: number | undefined },
  ): Judgement;
}

const entries = Object.entries(CONDITIONS) as [keyof typeof CONDITIONS, Condition<unknown>][];
const options = entries.map(([kind, { option }]) => [kind, option.optional()]);
const limit = z.number().optional();

/** As in the configuration: one option that names the condition; a metric has a limit besides. */
export const alertConditionSchema = z
  .strictObject({
    ...(Object.fromEntries(options) as Record<keyof typeof CONDITIONS, z.ZodOptional<z.ZodType>>),
    above: limit,
    below: limit,
  })
  .superRefine(({ above, below, ...conditions }, context) => {
    const fault = (message: string): void => context.addIssue({ code: 'custom', message });
    const named = Object.values(conditions).filter((value) => value !== undefined);
    const limits = [above, below].filter((value) => value !== undefined);
    if (named.length !== 1) fault(`give exactly one of ${Object.keys(CONDITIONS).join(', ')}`);
    else if (conditions.metric === undefined && limits.length > 0) fault('above and below belong to a metric');
    else if (conditions.metric !== undefined && limits.length !== 1) fault('a metric needs either above or below');
  });
export type AlertCondition = Readonly<z.output<typeof alertConditionSchema>>;

/** Evaluates a condition for one node. Pure. */
export function judgeCondition(when: AlertCondition, facts: NodeFacts, now: number): Judgement {
  const [kind, { judge }] = conditionOf(when);
  return judge(when[kind], facts, now, when);
}

export function defaultClearForMs(when: AlertCondition): number {
  return conditionOf(when)[1].clearForMs;
}

function conditionOf(when: AlertCondition): [keyof typeof CONDITIONS, Condition<unknown>] {
  const found = entries.find(([kind]) => when[kind] !== undefined);
  if (found === undefined) throw new TypeError('not a condition');
  return found;
}

function metric(name: string, unit: string, read: Metric['read']): Metric {
  return { name, unit, read };
}

function condition<T>(option: z.ZodType<T>, judge: Condition<T>['judge'], clearForMs = 0): Condition<T> {
  return { option, judge, clearForMs };
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
