/** `fleet top`: the nodes, live, in the terminal. */
import { sleep } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseCount, parsePositiveDuration } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import type { CliContext } from '../context/context.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { renderFrame } from '../top/render-top.ts';
import { TopSession } from '../top/top-session.ts';
import { FIRST_STATE } from '../top/top-state.ts';

/** Asking more often would only load the gateway, ms. */
const LEAST_INTERVAL_MS = 100;
/** A file has no width. */
const UNLIMITED = 10_000;

export const topCommand = defineCommand({
  name: 'top',
  usage: '[OPTIONS]',
  describe: [
    'Shows the nodes live: status, processor, memory, disk, load, round trip and runs. Keys: ? shows them, q quits.',
    'Where stdout is no terminal it prints one frame and ends.',
  ].join('\n'),
  positionals: [],
  options: {
    interval: {
      type: 'string',
      alias: 'd',
      placeholder: 'DURATION',
      describe: 'Between two questions to the gateway (2s)',
    },
    frames: {
      type: 'string',
      alias: 'n',
      placeholder: 'N',
      describe: 'Print so many frames, one below the other, and end',
    },
    once: { type: 'boolean', describe: 'Print one frame and end' },
  },
  examples: [
    ['fleet top', 'until q'],
    ['fleet top --once', 'one frame, for a script or a mail'],
    ['fleet top -n 3 -d 10s', 'three frames, ten seconds apart'],
  ],
  async execute(context, { options }) {
    const intervalMs = parsePositiveDuration(options.interval ?? '2s', '--interval');
    if (intervalMs < LEAST_INTERVAL_MS) throw new FleetError('usage', `--interval is less than ${LEAST_INTERVAL_MS}ms`);
    if (options.once && options.frames !== undefined) throw new FleetError('usage', 'give either --once or --frames');
    const frames = options.frames === undefined ? undefined : parseCount(options.frames, '--frames');
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
    if (context.json) {
      printJson(context, view);
      continue;
    }
    const now = clock.now();
    const state = { ...FIRST_STATE, nodes: view.nodes, receivedAt: now };
    const columns = out.size()?.columns ?? UNLIMITED;
    const lines = renderFrame(state, { columns, now, style: out.style, unicode: isUtf8(context.env) });
    out.write(lines.map((line) => `${line}\n`).join(''));
    await out.ready();
  }
  return EXIT_OK;
}

/** POSIX, 8.2: LC_ALL beats LC_CTYPE beats LANG; an empty one counts as unset. */
function isUtf8(env: Readonly<Record<string, string | undefined>>): boolean {
  return /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}
