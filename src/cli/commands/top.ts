/** `fleet top`: live node health in the terminal. */
import { sleep } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseCount, parsePositiveDuration } from '../args/values.ts';
import { type CliContext, defineCommand, openGateway } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printResult } from '../output/print.ts';
import { renderFrame } from '../top/render-top.ts';
import { TopSession } from '../top/top-session.ts';
import { FIRST_STATE } from '../top/top-state.ts';

/** Shorter intervals would only load the gateway, ms. */
const MIN_INTERVAL_MS = 100;
/** For a file, which has no width. */
const UNLIMITED = 10_000;

const top = defineCommand({
  name: 'top',
  describe: [
    'Shows live node health: status, CPU, memory, disk, load, round trip and runs. ? lists the keys, q quits.',
    'If stdout is not a terminal, it prints one frame and exits.',
  ],
  options: {
    interval: {
      type: 'string',
      alias: 'd',
      placeholder: 'DURATION',
      describe: 'How often to refresh (2s)',
    },
    frames: {
      type: 'string',
      alias: 'n',
      placeholder: 'N',
      describe: 'Print this many frames, one below the other, and exit',
    },
    once: { type: 'boolean', describe: 'Print one frame and exit' },
  },
  examples: [
    ['fleet top', 'until you press q'],
    ['fleet top --once', 'one frame, for a script or an email'],
    ['fleet top -n 3 -d 10s', 'three frames, ten seconds apart'],
  ],
  async execute(context, { options }) {
    const intervalMs = parsePositiveDuration(options.interval ?? '2s', '--interval');
    if (intervalMs < MIN_INTERVAL_MS) throw new FleetError('usage', `--interval must be at least ${MIN_INTERVAL_MS}ms`);
    if (options.once && options.frames !== undefined) throw new FleetError('usage', 'use either --once or --frames');
    const frames = parseCount(options.frames, '--frames');
    const isLive =
      context.out.isTerminal && context.env.TERM !== 'dumb' && !context.json && !options.once && frames === undefined;
    if (!isLive) return await printFrames(context, frames ?? 1, intervalMs);
    const client = openGateway(context);
    return await new TopSession(context, { client, intervalMs, unicode: isUtf8(context.env) }).run();
  },
});

async function printFrames(context: CliContext, count: number, intervalMs: number): Promise<number> {
  const { out, clock } = context;
  const client = openGateway(context);
  for (let frame = 0; frame < count && !out.gone.aborted; frame += 1) {
    if (frame > 0) await sleep(clock, intervalMs, out.gone);
    const view = await client.health();
    printResult(context, view, ({ nodes }) => {
      const now = clock.now();
      const columns = out.size()?.columns ?? UNLIMITED;
      const look = { columns, now, style: out.style, unicode: isUtf8(context.env) };
      const lines = renderFrame({ ...FIRST_STATE, nodes, receivedAt: now }, look);
      return lines.map((line) => `${line}\n`).join('');
    });
    await out.ready();
  }
  return EXIT_OK;
}

/** POSIX, 8.2: LC_ALL beats LC_CTYPE beats LANG; empty counts as unset. */
function isUtf8(env: Readonly<Record<string, string | undefined>>): boolean {
  return /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}

export const commands = [top];
