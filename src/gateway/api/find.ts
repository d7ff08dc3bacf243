/** Finds what a person means by a name, an id or the unique beginning of an id. */

import { FleetError } from '../../shared/errors.ts';
import type { JobRecord } from '../store/jobs-table.ts';
import type { NodeRecord } from '../store/nodes-table.ts';
import type { Store } from '../store/store.ts';

/** @throws FleetError `not_found`, `ambiguous`. */
export function findNode(store: Store, which: string): NodeRecord {
  const exact = store.nodes.byName(which) ?? store.nodes.byId(which);
  if (exact !== undefined) return exact;
  const matching = store.nodes.all().filter((node) => node.id.startsWith(which));
  const [node] = matching;
  if (node === undefined || which === '') {
    throw new FleetError('not_found', `there is no node called ${which}`, { hint: 'See them all: fleet nodes' });
  }
  if (matching.length > 1)
    throw ambiguous(
      'node',
      which,
      matching.map(({ name }) => name),
    );
  return node;
}

/** Takes a job's id, its beginning, or the id of one of its runs. @throws FleetError `not_found`, `ambiguous`. */
export function findJob(store: Store, which: string): JobRecord {
  const prefix = which.split('.')[0] ?? '';
  const matching = prefix === '' ? [] : store.jobs.byPrefix(prefix);
  const [job] = matching;
  if (job === undefined)
    throw new FleetError('not_found', `there is no job ${which}`, { hint: 'See the latest: fleet jobs' });
  if (matching.length > 1 && job.id !== prefix)
    throw ambiguous(
      'job',
      which,
      matching.map(({ id }) => id),
    );
  return job;
}

function ambiguous(what: string, which: string, matching: string[]): FleetError {
  return new FleetError('ambiguous', `${which} fits more than one ${what}: ${matching.slice(0, 5).join(', ')}`, {
    hint: 'Write more of it.',
  });
}
