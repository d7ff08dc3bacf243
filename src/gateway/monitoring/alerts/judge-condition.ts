/** Holds one rule's condition against what is known of a node: whether it is so, and in which words; pure. */
import { formatDuration } from '../../../shared/duration.ts';
import type { AlertCondition, AlertMetric } from './alert-rule.ts';
import type { NodeFacts } from './node-facts.ts';

export interface Judgement {
  /** Null when nobody can know. */
  holds: boolean | null;
  /** For a person; says what is so, with its limit. */
  summary: string;
}

const WORDS: Readonly<Record<AlertMetric, readonly [what: string, unit: string]>> = {
  cpuPct: ['CPU', '%'],
  load1: ['load', ''],
  loadPerCore: ['load per core', ''],
  memUsedPct: ['memory', '%'],
  swapUsedPct: ['swap', '%'],
  diskUsedPct: ['fullest disk', '%'],
  inodesUsedPct: ['inodes', '%'],
  rttMs: ['round trip', ' ms'],
  lostPct: ['lost keepalives', '%'],
  temperatureC: ['temperature', ' °C'],
  batteryPct: ['battery', '%'],
  agentLagMs: ["the agent's event loop is late by", ' ms'],
  runsActive: ['runs in progress', ''],
};

export function judgeCondition(when: AlertCondition, facts: NodeFacts, now: number): Judgement {
  switch (when.kind) {
    case 'status': {
      const why = facts.reasons.length === 0 ? '' : `: ${facts.reasons.join('; ')}`;
      return { holds: facts.status === when.status, summary: `${when.status}${why}` };
    }
    case 'metric': {
      const value = facts.figures[when.metric];
      const [what, unit] = WORDS[when.metric];
      const shown = value === null ? 'unknown' : `${tenths(value)}${unit}`;
      const isAbove = when.direction === 'above';
      return {
        holds: value === null ? null : isAbove ? value >= when.limit : value <= when.limit,
        summary: `${what} ${shown} (limit ${when.limit}${unit})`,
      };
    }
    case 'diskFull': {
      if (facts.diskFull === null) return { holds: false, summary: 'no disk will be full soon' };
      const { mount, fullAt } = facts.diskFull;
      return {
        holds: fullAt - now <= when.withinMs,
        summary: `disk ${mount} will be full in ${formatDuration(Math.max(0, fullAt - now))}, if it goes on like this`,
      };
    }
    case 'skew': {
      const { skewMs } = facts;
      if (skewMs === null) return { holds: null, summary: 'clock unknown' };
      const direction = skewMs > 0 ? 'ahead' : 'behind';
      return {
        holds: Math.abs(skewMs) >= when.limitMs,
        summary: `clock ${formatDuration(Math.abs(skewMs))} ${direction} (limit ${formatDuration(when.limitMs)})`,
      };
    }
    case 'flapping':
      return {
        holds: facts.reconnectsPerHour >= when.reconnectsPerHour,
        summary: `${facts.reconnectsPerHour} reconnects in the last hour (limit ${when.reconnectsPerHour})`,
      };
    case 'clone':
      return { holds: facts.hasClone, summary: 'two machines seem to use the key of this node' };
    case 'tokenProblem':
      return { holds: facts.hasTokenProblem, summary: 'the gateway refuses the token of this node' };
  }
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
