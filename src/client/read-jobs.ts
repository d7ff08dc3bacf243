/** Reads the list of jobs in parts of some megabytes: all of it may be longer than any string can be. */

import { DEFAULT_JOB_LIST } from '../domain/limits.ts';
import type { JobView } from '../protocol/job-messages.ts';
import type { GatewayClient } from './gateway-client.ts';

export interface ListJobsQuery {
  node?: string | undefined;
  state?: string | undefined;
  /** Created at or after, ms since the epoch. */
  since?: number | undefined;
  limit?: number | undefined;
}

/** Newest first, one part at a time. */
export async function* readJobs(
  source: Pick<GatewayClient, 'jobPage'>,
  query: ListJobsQuery,
): AsyncGenerator<JobView[]> {
  let left = query.limit ?? DEFAULT_JOB_LIST;
  let before: number | undefined;
  while (left > 0) {
    const { jobs, next } = await source.jobPage(before === undefined ? query : { ...query, before, limit: left });
    yield jobs;
    left -= jobs.length;
    // Each part must bring the end nearer.
    if (jobs.length === 0 || next === null || next === undefined || next >= (before ?? Number.POSITIVE_INFINITY))
      return;
    before = next;
  }
}

/** `path`, with those of the values that are set. */
export function withQuery(path: string, query: object): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  if (pairs.length === 0) return path;
  return `${path}?${pairs.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`).join('&')}`;
}
