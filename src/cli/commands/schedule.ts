/** `fleet schedule …`: what the gateway does at certain times. */
import { CATCH_UPS, type CatchUp, FIRING_STATES, OVERLAPS, type Overlap } from '../../domain/vocabulary.ts';
import type { FiringView, ScheduledActionView, ScheduleView } from '../../protocol/schedule.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { stripControl } from '../../shared/text.ts';
import { given, parseCount } from '../args/values.ts';
import { defineCommand, openGateway } from '../context/command.ts';
import { EXIT_FLEET_FAILED, EXIT_OK } from '../output/exit-code.ts';
import { printJson, printResult, type TerminalStyle } from '../output/print.ts';
import { formatFacts, printTable, type TableCell } from '../output/table.ts';
import { parseAction } from './schedule-action.ts';

const SCHEDULE = { name: 'SCHEDULE', describe: 'Its name' } as const;

const add = defineCommand({
  name: 'schedule add',
  usage: '[OPTIONS] CRON [--] run|broadcast|agent run|health report …',
  describe: [
    'Has the gateway do something at certain times. Type the command as you would run it now; it is checked now.',
    "CRON is one word of five fields, as in crontab(5): '0 7 * * 1-5'; or @hourly, @daily, @weekly, @monthly.",
    "A report needs --out: a file on the gateway's machine, absolute or below HOME/reports.",
  ],
  positionals: [{ name: 'CRON', describe: 'Minute, hour, day, month and weekday, in one word' }],
  passthrough: true,
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'Name of the schedule (derived from the command)' },
    tz: { type: 'string', placeholder: 'ZONE', describe: "Time zone, such as Europe/Berlin (the gateway's)" },
    overlap: { type: 'string', describe: 'If the previous run is still in progress (skip)', choices: OVERLAPS },
    'catch-up': { type: 'string', describe: 'Times missed while the gateway was down (once)', choices: CATCH_UPS },
  },
  examples: [
    ["fleet schedule add '0 7 * * *' --tz Europe/Berlin -- health report --format html --out daily.html", 'a report'],
    [
      "fleet schedule add --name backup --overlap queue '30 2 * * *' broadcast --expires 6h backup",
      'a job, every night',
    ],
    ["fleet schedule add @weekly -- agent run --any coder 'update the dependencies'", 'a prompt, on any free node'],
    ["fleet schedule add @hourly -- run web-1 --timeout 5m 'certbot renew'", 'on one node'],
  ],
  async execute(context, { options, positionals, words }, registry) {
    const action = await parseAction(context, words, registry);
    const schedule = await openGateway(context).addSchedule({
      cron: positionals.CRON,
      action,
      ...given({
        name: options.name,
        timeZone: options.tz,
        overlap: options.overlap as Overlap | undefined,
        catchUp: options['catch-up'] as CatchUp | undefined,
      }),
    });
    const exitCode = printResult(context, schedule, ({ name }) => `${name}\n`);
    if (!context.json) {
      const what = stripControl(describeAction(schedule.action));
      context.err.write(`${what}; next: ${schedule.nextAt ?? 'never'}, in time zone ${schedule.timeZone}\n`);
    }
    return exitCode;
  },
});

const list = defineCommand({
  name: 'schedule list',
  describe: 'Lists the schedules: when each is due next, and the result of the last time.',
  examples: [
    ['fleet schedule list', 'all schedules'],
    ["fleet schedule list --json | jq -r '.[] | select(.paused) | .name'", 'paused ones'],
  ],
  async execute(context) {
    const schedules = await openGateway(context).schedules();
    const note = "There are no schedules. For example: fleet schedule add '0 7 * * *' -- broadcast uptime";
    return printTable(context, schedules, note, {
      NAME: ({ name }) => name,
      CRON: ({ cron }) => cron,
      ZONE: ({ timeZone }) => timeZone,
      NEXT: describeNext,
      LAST: (schedule, now) => describeLast(schedule, now, context.out.style),
      WHAT: ({ action }) => describeAction(action),
    });
  },
});

const show = defineCommand({
  name: 'schedule show',
  describe: 'Shows one schedule.',
  positionals: [SCHEDULE],
  examples: [
    ['fleet schedule show backup', 'for people'],
    ['fleet schedule show backup --json', 'with the whole request, except the values of variables'],
  ],
  async execute(context, { positionals }) {
    return printResult(context, await openGateway(context).schedule(positionals.SCHEDULE), (schedule) => {
      const { last, action } = schedule;
      return formatFacts([
        ['Name', schedule.name],
        ['Does', describeAction(action)],
        ['Variables', action.kind === 'job' ? (action.request.env ?? []).join(', ') : ''],
        ['Cron', `${schedule.cron} (${schedule.timeZone})`],
        ['Next', schedule.paused ? 'paused' : (schedule.nextAt ?? 'never')],
        ['Overlap', schedule.overlap],
        ['Catch-up', schedule.catchUp],
        ['Added', `${schedule.createdAt} by ${schedule.createdBy}`],
        ['Last', last === null ? '' : `${last.state}, planned for ${last.plannedAt}`],
        ['Job', last?.job ?? ''],
        ['Why', last === null ? '' : describeReason(last)],
      ]);
    });
  },
});

const history = defineCommand({
  name: 'schedule history',
  describe: [
    'Shows what happened at the times of a schedule, newest first, and how many were skipped, missed or failed.',
    'The last 200 are kept.',
  ],
  positionals: [SCHEDULE],
  options: { limit: { type: 'string', placeholder: 'N', describe: 'Maximum number of entries (20)' } },
  examples: [
    ['fleet schedule history backup', 'the latest'],
    [
      'fleet schedule history backup --limit 200 --json | jq -r \'.[] | select(.state == "failed") | .job\'',
      'for scripts',
    ],
  ],
  async execute(context, { options, positionals }) {
    const limit = parseCount(options.limit, '--limit');
    const firings = await openGateway(context).scheduleHistory(positionals.SCHEDULE, limit);
    const exitCode = printTable(context, firings, 'It has not been due yet.', {
      'PLANNED FOR': ({ plannedAt }) => plannedAt,
      CAUSE: ({ cause }) => cause,
      STATE: (firing) => ({ text: firing.state, paint: paintOf(firing, context.out.style) }),
      TOOK: { right: describeDuration },
      JOB: ({ job }) => job ?? '',
      WHY: describeReason,
    });
    if (!context.json && firings.length > 0) context.err.write(`${describeOutcomes(firings)}\n`);
    return exitCode;
  },
});

const run = defineCommand({
  name: 'schedule run',
  describe: [
    'Runs a schedule now, in addition to its times, and prints the id of the job. Its overlap policy applies.',
    'Exit code: 0 if it started, else 255.',
  ],
  positionals: [SCHEDULE],
  examples: [
    ['fleet schedule run backup', 'try it out'],
    ['fleet schedule run backup --json', 'with its immediate result'],
  ],
  async execute(context, { positionals }) {
    const firing = await openGateway(context).runSchedule(positionals.SCHEDULE);
    const started = firing.state !== 'skipped' && firing.state !== 'failed';
    if (context.json) printJson(context, firing);
    else if (started && firing.job !== null) context.out.write(`${firing.job}\n`);
    else context.err.write(`${stripControl([firing.state, describeReason(firing)].filter(Boolean).join(': '))}\n`);
    return started ? EXIT_OK : EXIT_FLEET_FAILED;
  },
});

function pauseCommand(name: 'pause' | 'resume', describe: string, when: string) {
  return defineCommand({
    name: `schedule ${name}`,
    describe,
    positionals: [SCHEDULE],
    examples: [
      [`fleet schedule ${name} backup`, `${when} maintenance`],
      [`fleet schedule ${name} backup --json`, 'and print the schedule'],
    ],
    async execute(context, { positionals }) {
      const schedule = await openGateway(context).pauseSchedule(positionals.SCHEDULE, name === 'pause');
      if (context.json) printJson(context, schedule);
      else context.err.write(`${schedule.name}: ${describeNext(schedule, context.clock.now())}\n`);
      return EXIT_OK;
    },
  });
}

const pause = pauseCommand('pause', 'Pauses a schedule. Times that pass meanwhile do not count as missed.', 'before');
const resume = pauseCommand('resume', 'Resumes a paused schedule from its next time.', 'after');

const rm = defineCommand({
  name: 'schedule rm',
  describe: 'Removes a schedule and its history. Its jobs are kept, and those in progress continue.',
  positionals: [SCHEDULE],
  examples: [
    ['fleet schedule rm backup', 'for good'],
    ['fleet schedule pause backup', 'only for a while'],
  ],
  async execute(context, { positionals }) {
    await openGateway(context).removeSchedule(positionals.SCHEDULE);
    return EXIT_OK;
  },
});

/** What it does, in one line: `run web-1: uptime`, `report html to fleet.html`. */
function describeAction(action: ScheduledActionView): string {
  if (action.kind === 'report') return `report ${action.format} to ${action.out}`;
  const { target, command, agent } = action.request;
  const what = agent === undefined ? '' : ` ${agent}`;
  const where =
    'node' in target
      ? `run${what} ${target.node}`
      : 'any' in target
        ? `run${what} any of ${target.any}`
        : `broadcast ${target.selector}${target.exclude === undefined ? '' : ` except ${target.exclude}`}`;
  return `${where}: ${command.replace(/\s+/g, ' ')}`;
}

/** When it is due next: `in 3h`, `paused`, `never`. */
function describeNext({ paused, nextAt }: ScheduleView, now: number): string {
  return paused ? 'paused' : formatRelativeTime(nextAt, now);
}

/** `succeeded 3h ago`; empty if it has never been due. */
function describeLast({ last }: ScheduleView, now: number, style: TerminalStyle): TableCell {
  if (last === null) return '';
  const text = `${last.state} ${formatRelativeTime(last.endedAt ?? last.firedAt ?? last.plannedAt, now)}`;
  return { text, paint: paintOf(last, style) };
}

const COLORS = {
  waiting: 'dim',
  started: 'cyan',
  succeeded: 'green',
  failed: 'red',
  skipped: 'yellow',
  missed: 'yellow',
} as const;

function paintOf({ state }: FiringView, style: TerminalStyle): (text: string) => string {
  return style[COLORS[state]];
}

/** How long it took; empty while it is in progress, and if it never started. */
function describeDuration({ firedAt, endedAt }: FiringView): string {
  if (firedAt === null || endedAt === null) return '';
  return formatDuration(Math.max(0, Date.parse(endedAt) - Date.parse(firedAt)));
}

/** `3 times, the gateway was down`. */
function describeReason({ count, reason }: FiringView): string {
  return [...(count > 1 ? [`${count} times`] : []), ...(reason === null ? [] : [reason])].join(', ');
}

/** `12 succeeded, 1 failed, 40 missed`. One entry can stand for many times. */
function describeOutcomes(firings: readonly FiringView[]): string {
  const counts = FIRING_STATES.map((state) => {
    const alike = firings.filter((firing) => firing.state === state);
    return [alike.reduce((sum, { count }) => sum + count, 0), state] as const;
  });
  return counts.flatMap(([count, state]) => (count === 0 ? [] : [`${count} ${state}`])).join(', ');
}

export const commands = [add, list, show, history, run, pause, resume, rm];
