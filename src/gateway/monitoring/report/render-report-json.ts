/** The health report as JSON, piece by piece: all nodes at once would hold everybody else up. */
import { harmlessJson } from '../../../shared/text.ts';
import type { HealthReport } from './report-types.ts';

const INDENT = 2;

/** Together the same text as `JSON.stringify(report, null, 2)` and a line break. */
export function* reportJsonPieces(report: HealthReport): Generator<string> {
  // The nodes are the last field, so what surrounds them comes out of a report without any.
  const { nodes, ...rest } = report;
  const frame = harmlessJson({ ...rest, nodes: [] }, INDENT);
  const end = frame.length - ']\n}'.length;
  yield frame.slice(0, end);
  for (const [index, node] of nodes.entries()) {
    const lines = harmlessJson([node], INDENT).slice('[\n'.length, -'\n]'.length);
    yield `${index === 0 ? '' : ','}\n${lines.replaceAll('\n', '\n  ').replace(/^/, '  ')}`;
  }
  yield `${nodes.length === 0 ? '' : '\n  '}]\n}\n`;
}
