/** Resolves a name, an id or the unique beginning of an id; ambiguous input is refused. */

import { ALL_CONNECTED, parseSelector, selectNodes } from '../../domain/selector.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import { pickNode } from '../bus/job-flow.ts';
import type { JobRecord } from '../bus/jobs-table.ts';
import { keyRevoked } from '../identity/keys.ts';
import type { AlertsStore } from '../monitoring/alerts/tables.ts';
import type { NodeRecord, NodesStore } from '../nodes/nodes-table.ts';
import type { ScheduleRecord, ScheduleStore } from '../schedule/schedules-table.ts';
import { didYouMean, lookUp } from '../store/look-up.ts';
import { nodeDetailView, nodeView, type ViewSources } from './views.ts';

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

/** By the job's id or its beginning, optionally followed by a dot and the index of a run. @throws FleetError `not_found`, `ambiguous`. */
export function findJob(store: ScheduleStore, which: string): JobRecord {
  const dot = which.indexOf('.');
  const prefix = dot < 0 ? which : which.slice(0, dot);
  const matching = prefix === '' ? [] : store.jobs.byPrefix(prefix);
  const [job] = matching;
  if (job === undefined)
    throw new FleetError('not_found', `there is no job ${which}`, { hint: 'See the latest: fleet jobs' });
  if (matching.length > 1 && job.id !== prefix) throw ambiguous('job', which, matching);
  if (dot >= 0 && store.runs.byId(job.id + which.slice(dot)) === undefined) {
    throw new FleetError('not_found', `job ${job.id} has no run ${which.slice(dot + 1)}`, {
      hint: `See its runs: fleet jobs show ${job.id}`,
    });
  }
  return job;
}

function noSuchNode(store: NodesStore, names: readonly string[]): FleetError {
  return new FleetError('not_found', `there is no node called ${names.slice(0, 5).join(', ')}`, {
    hint: `${didYouMean(names[0] ?? '', store.nodes.names())}See them all: fleet nodes`,
  });
}

function ambiguous(what: string, which: string, meant: readonly { id: string; name?: string }[]): FleetError {
  const shown = meant.slice(0, 5);
  const known = shown.flatMap(({ id, name }) => (name === undefined ? [] : [`${name} has the id ${id}`]));
  return new FleetError(
    'ambiguous',
    `${which} matches more than one ${what}: ${shown.map(({ id, name = id }) => name).join(', ')}`,
    { hint: known.length === 0 ? 'Type more of it.' : `Use one that is unique: ${known.join(', ')}` },
  );
}

/** The whole store, as the routes see it. */
export interface ApiStore extends ScheduleStore, AlertsStore {}

type TargetSources = ViewSources & { store: ScheduleStore };
type Asked = Pick<SubmitJobRequest, 'target' | 'agent'>;

/** At least one. @throws FleetError `not_found`, `ambiguous`, `bad_selector`, `key_revoked`; `node_offline` if none can be picked. */
export function resolveTarget({ target, agent }: Asked, sources: TargetSources): NodeRecord[] {
  if ('node' in target) {
    const node = findNode(sources.store, target.node);
    if (node.revokedAt !== null) throw keyRevoked({ kind: 'node', name: node.name });
    return [node];
  }
  if ('any' in target) return [pickAny(target, agent ?? '', sources)];
  const nodes = selected(target, sources);
  if (nodes.length === 0) throw noMatch(target);
  return nodes;
}

/** Names of the offline nodes that a broadcast to all connected nodes leaves out. */
export function offlineNotTried({ target }: Asked, sources: TargetSources): string[] {
  if (!('selector' in target) || target.selector !== ALL_CONNECTED) return [];
  return selected({ ...target, selector: `@all!${ALL_CONNECTED.replaceAll(',', '!')}` }, sources).map(
    ({ name }) => name,
  );
}

function selected({ selector, exclude }: Extract<Asked['target'], { selector: string }>, sources: TargetSources) {
  const select = selection(sources);
  const excluded = new Set(exclude === undefined ? [] : select(exclude));
  return select(selector).filter((node) => !excluded.has(node));
}

export function describeTarget({ target }: Asked): string {
  if ('node' in target) return target.node;
  if ('any' in target) return `any of ${target.any}`;
  const { exclude } = target;
  const selector = target.selector === ALL_CONNECTED ? 'all online' : target.selector;
  return exclude === undefined ? selector : `${selector} without ${exclude}`;
}

/** Refused before anything is stored: a job without runs is useless. */
function noMatch({ selector, exclude }: { selector: string; exclude?: string | undefined }): FleetError {
  if (selector === ALL_CONNECTED) {
    const others = exclude === undefined ? '' : ` apart from ${exclude}`;
    return new FleetError('node_offline', `no node is connected${others}`, { hint: 'See them all: fleet nodes' });
  }
  const others = exclude === undefined ? '' : ` without ${exclude}`;
  return new FleetError('not_found', `no node matches ${selector}${others}`, {
    hint: 'Try a selector without running anything: fleet broadcast --on SELECTOR --dry-run',
  });
}

function pickAny(
  { any, exclude = [] }: { any: string; exclude?: string[] | undefined },
  agent: string,
  sources: TargetSources,
): NodeRecord {
  // An ambiguous name excludes every node that it matches; one that no longer exists excludes none.
  const excluded = new Set(exclude.flatMap((which) => lookUp(sources.store.nodes, which).map(({ id }) => id)));
  const candidates = selection(sources)(any)
    .filter(({ id }) => !excluded.has(id))
    .map((record) => {
      const { name, status, capabilities } = nodeDetailView(record, sources);
      // The gateway knows every run, whereas a heartbeat is up to half a minute old.
      const runsActive = sources.store.runs.open(record.id).length;
      const cpuPct = sources.monitor.healthOf(record).latest?.beat.cpuPct ?? null;
      return { name, status, capabilities, runsActive, cpuPct, record };
    });
  const picked = pickNode(candidates, agent);
  if (picked !== undefined) return picked.record;
  const others = exclude.length === 0 ? '' : ` apart from ${exclude.slice(0, 5).join(', ')}`;
  throw new FleetError('node_offline', `no online node of ${any}${others} has an agent ${agent}`, {
    hint: 'See which nodes have it: fleet agents',
  });
}

/** Evaluates selectors. @throws FleetError `bad_selector`; `not_found` or `ambiguous` for a name that matches none or several. */
function selection(sources: TargetSources): (selector: string) => NodeRecord[] {
  const all = sources.store.nodes.all();
  const revoked = all.filter((node) => node.revokedAt !== null);
  const selectable = all
    .filter((node) => node.revokedAt === null)
    .map((record) => {
      const { name, status, labels, id } = nodeView(record, sources);
      return { name, status, labels, id, record };
    });
  return (selector) => {
    const { nodes, unmatched, ambiguous: unclear } = selectNodes(parseSelector(selector), selectable, revoked);
    for (const { text, meant } of unclear) throw ambiguous('node', text, meant);
    if (unmatched.length > 0) throw noSuchNode(sources.store, unmatched);
    return nodes.map(({ record }) => record);
  };
}
