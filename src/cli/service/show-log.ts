/** `gateway logs` and `node logs`: the end of a log, and what comes. */
import { formatLogLine } from '../../shared/log-line.ts';
import { escapeJson } from '../../shared/strip-control.ts';
import { parseCount } from '../args/count.ts';
import type { OptionTable, OptionValues } from '../command.ts';
import type { CliContext } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';
import { followLines, readLastLines } from './log-tail.ts';

const DEFAULT_LINES = 50;

export const LOG_OPTIONS = {
  follow: { type: 'boolean', alias: 'f', describe: 'Go on with what comes, until Ctrl-C' },
  lines: { type: 'string', alias: 'n', placeholder: 'N', describe: 'How many lines from the end (50)' },
  jsonl: { type: 'boolean', describe: 'Print the JSON lines as they are; --json does the same' },
} as const satisfies OptionTable;

export async function showLog(
  context: CliContext,
  file: string,
  options: OptionValues<typeof LOG_OPTIONS>,
): Promise<number> {
  const count = options.lines === undefined ? DEFAULT_LINES : parseCount(options.lines, '--lines');
  const isRaw = context.json || options.jsonl;
  const print = (line: string): void => context.out.write(isRaw ? `${escapeJson(line)}\n` : formatLogLine(line));
  const { lines, end } = readLastLines(file, count);
  for (const line of lines) print(line);
  if (!options.follow) return EXIT_OK;
  for await (const line of followLines(file, end, context.clock, context.out.gone)) {
    print(line);
    await context.out.ready();
  }
  return EXIT_OK;
}
