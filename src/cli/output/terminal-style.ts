/** Colour where a person looks at it, plain text where a program reads it. no-color.org, bixense.com/clicolors. */
import type { NodeStatus } from '../../protocol/node-status.ts';
import type { TableCell } from './table.ts';

export interface TerminalStyle {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

export interface TerminalFacts {
  isTTY: boolean;
  env: Readonly<Record<string, string | undefined>>;
}

/** NO_COLOR beats CLICOLOR_FORCE beats FORCE_COLOR beats whether the stream is a terminal. Empty counts as unset. */
export function wantsColor({ isTTY, env }: TerminalFacts): boolean {
  if (env.NO_COLOR) return false;
  if (env.CLICOLOR_FORCE && env.CLICOLOR_FORCE !== '0') return true;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  return isTTY && env.TERM !== 'dumb' && env.CLICOLOR !== '0';
}

/** The style for one stream; without colour every function gives its text back. */
export function createTerminalStyle(facts: TerminalFacts): TerminalStyle {
  if (!wantsColor(facts)) return plainStyle;
  return {
    bold: wrap(1, 22),
    dim: wrap(2, 22),
    red: wrap(31, 39),
    green: wrap(32, 39),
    yellow: wrap(33, 39),
    cyan: wrap(36, 39),
  };
}

const same = (text: string): string => text;

export const plainStyle: TerminalStyle = { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same };

/** SGR sequences of ECMA-48. Painting nothing gives nothing. */
function wrap(on: number, off: number): (text: string) => string {
  return (text) => (text === '' ? '' : `\u001b[${on}m${text}\u001b[${off}m`);
}

export function paintStatus(status: NodeStatus | 'revoked', style: TerminalStyle): TableCell {
  return { text: status, paint: paintOfStatus(status, style) };
}

export function paintOfStatus(status: NodeStatus | 'revoked', style: TerminalStyle): (text: string) => string {
  return {
    online: style.green,
    limited: style.yellow,
    error: style.red,
    offline: style.red,
    revoked: style.dim,
  }[status];
}
