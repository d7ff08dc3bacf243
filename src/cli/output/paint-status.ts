/** The colour of a node's status. */
import type { NodeStatus } from '../../protocol/node-status.ts';
import type { TableCell } from './table.ts';
import type { TerminalStyle } from './terminal-style.ts';

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
