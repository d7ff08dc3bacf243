/** Requests whose answers are checked. The schemas are loaded once an answer has begun: a command that gets none does without. */
import type { Answers } from '../protocol/answers.ts';
import { openRequest, type RequestOptions, readJson } from '../shared/http/request.ts';

/** Largest answer that lists nodes, runs or rows: a gateway has thousands of them; bytes. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;
const LISTS: ReadonlySet<keyof Answers> = new Set([
  'alerts',
  'auditPage',
  'firings',
  'health',
  'invites',
  'job',
  'jobPage',
  'keys',
  'nodes',
  'pendingList',
  'schedules',
  'silences',
]);

/** @throws FleetError what was answered; `protocol_unsupported` when that is not what was asked for. */
export async function requestAnswer<K extends keyof Answers>(answer: K, options: RequestOptions): Promise<Answers[K]> {
  const response = await openRequest(options);
  const { ANSWERS } = await import('../protocol/answers.ts');
  const maxAnswerBytes = options.maxAnswerBytes ?? (LISTS.has(answer) ? MAX_LIST_BYTES : undefined);
  return (await readJson<unknown>(response, { ...options, maxAnswerBytes }, ANSWERS[answer])) as Answers[K];
}
