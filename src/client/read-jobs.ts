/** Reads the list of jobs in pages of a few megabytes: the whole may exceed the longest string. */
import { DEFAULT_JOB_LIST } from '../domain/limits.ts';
import type { JobPage, JobView } from '../protocol/job-messages.ts';

export interface ListJobsQuery {
  node?: string | undefined;
  state?: string | undefined;
  /** Created at or after, ms since the epoch. */
  since?: number | undefined;
  limit?: number | undefined;
}

/** Newest first, page by page. */
export async function* readJobs(
  source: { jobPage(query: ListJobsQuery & { before?: number | undefined }): Promise<JobPage> },
  query: ListJobsQuery,
): AsyncGenerator<JobView[]> {
  let left = query.limit ?? DEFAULT_JOB_LIST;
  let before: number | undefined;
  while (left > 0) {
    const { jobs, next } = await source.jobPage(before === undefined ? query : { ...query, before, limit: left });
    yield jobs;
    left -= jobs.length;
    // Each page must make progress.
    if (jobs.length === 0 || next === null || next === undefined || next >= (before ?? Number.POSITIVE_INFINITY))
      return;
    before = next;
  }
}
