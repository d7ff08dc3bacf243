/** Tells a repeated hand-over of a run from one that contradicts it. */
import { createHash } from 'node:crypto';
import type { RunSpec } from '../../protocol/run-spec.ts';

/** SHA-256 in hex of the spec, whatever the order of its keys. */
export function specDigest(spec: RunSpec): string {
  const ordered = JSON.stringify(spec, (_key, value: unknown) =>
    typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(ordered).digest('hex');
}
