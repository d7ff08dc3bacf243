/** `K=V` options, such as labels. */
import type { ClaimView } from '../../protocol/views.ts';
import { FleetError } from '../../shared/errors.ts';
import { trimPasted } from '../../shared/pasted.ts';

/** The last one of a key counts. @throws FleetError `usage`. */
export function parsePairs(texts: readonly string[], option: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1) {
      throw new FleetError('usage', `${option} is not of the form K=V: ${JSON.stringify(text)}`, {
        hint: `Write it like ${option} site=berlin`,
      });
    }
    pairs[trimPasted(text.slice(0, equals))] = trimPasted(text.slice(equals + 1));
  }
  return pairs;
}

/** What is asked for: `role=db, -site, agent:coder`; empty for nothing. */
export function formatClaim({ labels, capabilities }: ClaimView): string {
  const changes = Object.keys(labels)
    .sort()
    .map((key) => (labels[key] === null ? `-${key}` : `${key}=${labels[key]}`));
  return [...changes, ...capabilities].join(', ');
}

/** `a=1,b=2`, by key; empty without labels. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  const keys = Object.keys(labels).sort();
  return keys.map((key) => `${key}=${labels[key]}`).join(',');
}
