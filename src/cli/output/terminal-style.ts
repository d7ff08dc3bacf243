/** Colour for people, plain text for programs. no-color.org, bixense.com/clicolors. */
import { styleText } from 'node:util';
import type { NodeStatus } from '../../domain/node-status.ts';

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

/** The style of one stream; without colour, every function returns its text unchanged. */
export function createTerminalStyle(facts: TerminalFacts): TerminalStyle {
  if (!wantsColor(facts)) return plainStyle;
  return {
    bold: paint('bold'),
    dim: paint('dim'),
    red: paint('red'),
    green: paint('green'),
    yellow: paint('yellow'),
    cyan: paint('cyan'),
  };
}

const same = (text: string): string => text;

export const plainStyle: TerminalStyle = { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same };

/** Painting nothing gives nothing. */
function paint(format: keyof TerminalStyle): (text: string) => string {
  return (text) => (text === '' ? '' : styleText(format, text, { validateStream: false }));
}

export function paintStatus(
  status: NodeStatus | 'revoked',
  style: TerminalStyle,
): { text: string; paint: (text: string) => string } {
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
