/** Finds what a person means by a name, an id or the unique beginning of an id. What could mean two things is refused. */

import { closest } from '../../shared/closest.ts';
import { FleetError } from '../../shared/errors.ts';
import { describeForeign } from '../../shared/text.ts';
import type { JobRecord } from '../bus/jobs-table.ts';
import type { AlertsStore } from '../monitoring/alerts/alerts-table.ts';
import type { NodeRecord, NodesStore } from '../nodes/nodes-table.ts';
import type { ScheduleRecord, ScheduleStore } from '../schedule/schedules-table.ts';
import { lookUp } from '../store/look-up.ts';

/** @throws FleetError `not_found`, `ambiguous`. */
export function findNode(store: NodesStore, which: string): NodeRecord {
  const [node, ...others] = lookUp(store.nodes, which);
  if (node === undefined) throw noSuchNode(store, [which]);
  if (others.length > 0) throw ambiguous('node', which, [node, ...others]);
  return node;
}

/** @throws FleetError `not_found`, `ambiguous`. */
export function findSchedule(store: ScheduleStore, which: string): ScheduleRecord {
  const [schedule, ...others] = lookUp(store.schedules, which);
  if (schedule === undefined) {
    const names = store.schedules.all().map(({ name }) => name);
    throw new FleetError('not_found', `there is no schedule called ${which}`, {
      hint: `${didYouMean(which, names)}See them all: fleet schedule list`,
    });
  }
  if (others.length > 0) throw ambiguous('schedule', which, [schedule, ...others]);
  return schedule;
}

/** Takes a job's id, its beginning, or either with a point and the index of a run. @throws FleetError `not_found`, `ambiguous`. */
export function findJob(store: ScheduleStore, which: string): JobRecord {
  const point = which.indexOf('.');
  const prefix = point < 0 ? which : which.slice(0, point);
  const matching = prefix === '' ? [] : store.jobs.byPrefix(prefix);
  const [job] = matching;
  if (job === undefined)
    throw new FleetError('not_found', `there is no job ${which}`, { hint: 'See the latest: fleet jobs' });
  if (matching.length > 1 && job.id !== prefix) throw ambiguous('job', which, matching);
  if (point >= 0 && store.runs.byId(job.id + which.slice(point)) === undefined) {
    throw new FleetError('not_found', `job ${job.id} has no run ${which.slice(point + 1)}`, {
      hint: `See its runs: fleet jobs show ${job.id}`,
    });
  }
  return job;
}

/** For names that no node has. */
export function noSuchNode(store: NodesStore, names: readonly string[]): FleetError {
  return new FleetError('not_found', `there is no node called ${names.slice(0, 5).join(', ')}`, {
    hint: `${didYouMean(names[0] ?? '', store.nodes.names())}See them all: fleet nodes`,
  });
}

/** `Did you mean web-1? `, and what is in no name; or nothing. */
export function didYouMean(typed: string, known: Iterable<string>): string {
  const foreign = describeForeign(typed, /[\w.:+/=-]/);
  const meant = closest(typed.toLowerCase(), known);
  return `${foreign === undefined ? '' : `No name has ${foreign}. `}${meant === undefined ? '' : `Did you mean ${meant}? `}`;
}

export function ambiguous(what: string, which: string, meant: readonly { id: string; name?: string }[]): FleetError {
  const shown = meant.slice(0, 5);
  const known = shown.flatMap(({ id, name }) => (name === undefined ? [] : [`${name} has the id ${id}`]));
  return new FleetError(
    'ambiguous',
    `${which} fits more than one ${what}: ${shown.map(({ id, name = id }) => name).join(', ')}`,
    { hint: known.length === 0 ? 'Write more of it.' : `Use what only one of them has: ${known.join(', ')}` },
  );
}

/** The whole store, as the routes see it. */
export interface ApiStore extends ScheduleStore, AlertsStore {}
