/** Asks before something that cannot be taken back, where somebody is there to answer. */
import type { CliContext } from '../context/context.ts';

/** Exit code of a command that was told not to go on. */
export const EXIT_DECLINED = 1;

/** Whether a question would be seen and could be answered: a script goes on without one. */
export function canAsk({ err, openStdin }: Pick<CliContext, 'err' | 'openStdin'>): boolean {
  return err.isTerminal && openStdin().isTTY === true;
}

/** True only for `y` or `yes`; the end of stdin is a no. */
export async function confirm({ err, openStdin }: Pick<CliContext, 'err' | 'openStdin'>, question: string) {
  const { createInterface } = await import('node:readline');
  err.write(`${question} [y/N] `);
  const lines = createInterface({ input: openStdin(), terminal: false });
  try {
    for await (const line of lines) return /^\s*y(es)?\s*$/i.test(line);
    err.write('\n');
    return false;
  } finally {
    lines.close();
  }
}
