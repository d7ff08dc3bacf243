/** `fleet health NODE --processes`: what uses the machine right now. */

import type { ProcessesQuery, ProcessesView, ProcessSort } from '../../protocol/processes.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseCount } from '../args/values.ts';
import type { CliContext } from '../context/context.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { formatBytes } from '../output/figures.ts';
import type { OutputPort } from '../output/output-port.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';

export interface ProcessOptions {
  processes: boolean;
  sort: string | undefined;
  limit: string | undefined;
}

/** @throws FleetError `usage` when options were given that need `--processes`, or when it needs a node. */
export function processQuery(node: string | undefined, options: ProcessOptions): Partial<ProcessesQuery> {
  const { processes, sort, limit } = options;
  if (!processes && (sort !== undefined || limit !== undefined)) {
    throw new FleetError('usage', '--sort and --limit are for --processes', {
      hint: 'For example: fleet health NODE --processes --sort mem',
    });
  }
  if (processes && node === undefined) {
    throw new FleetError('usage', '--processes is for one node', {
      hint: 'For example: fleet health NODE --processes',
    });
  }
  return {
    ...(limit === undefined ? {} : { limit: parseCount(limit, '--limit') }),
    ...(sort === undefined ? {} : { sort: sort as ProcessSort }),
  };
}

export async function showProcesses(
  context: CliContext,
  node: string,
  query: Partial<ProcessesQuery>,
): Promise<number> {
  const view = await openGateway(context).processes(node, query);
  if (context.json) printJson(context, view);
  else context.out.write(formatProcesses(view, context.out));
  return EXIT_OK;
}

const COLUMNS = [
  { header: 'PID', align: 'right' },
  { header: 'USER' },
  { header: 'CPU', align: 'right' },
  { header: 'MEM', align: 'right' },
  { header: 'RSS', align: 'right' },
  { header: 'COMMAND' },
] as const;

function formatProcesses({ processes }: ProcessesView, out: OutputPort): string {
  const rows = processes.map(({ pid, user, cpuPct, memPct, rssBytes, command }) => [
    String(pid),
    user ?? '',
    `${cpuPct.toFixed(1)} %`,
    `${memPct.toFixed(1)} %`,
    formatBytes(rssBytes),
    command,
  ]);
  return formatTable(COLUMNS, rows, tableOptions(out));
}
