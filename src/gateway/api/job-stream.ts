/** Follows a job from the store: a slow reader waits for nobody but itself, and one that comes back goes on where it was. */

import { isTerminal, type RunState } from '../../domain/run-state.ts';
import { FRAME_TYPE } from '../../protocol/frames.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { runGapSchema, runStartedSchema } from '../../protocol/run-spec.ts';
import { encodeData } from '../../protocol/text-data.ts';
import type { WhenBlocked } from '../../shared/http/send-stream.ts';
import type { RunFeed } from '../bus/run-feed.ts';
import type { RunRecord } from '../bus/runs-table.ts';
import type { ApiStore } from './find.ts';
import { LogCursor, type LogPiece } from './log-cursor.ts';
import { runView } from './views.ts';

export interface JobStreamOptions {
  store: ApiStore;
  feed: RunFeed;
  jobId: string;
  /** Log offset to begin at, by index of the run. */
  from: Record<string, number>;
  /** Offline nodes that the job leaves out. */
  notTried?: string[];
  signal: AbortSignal;
  /** Takes what is to be called when the reader takes nothing for now. */
  whenBlocked?: WhenBlocked;
}

/** Pieces of one run's log before others of its job are heard. */
const MOST_PIECES = 8;

interface Cursor {
  log: LogCursor;
  state: RunState | undefined;
  ended: boolean;
}

/** All events of the job, live until its last run has ended (then `done`) or `signal` aborts. */
export async function* followJob(options: JobStreamOptions): AsyncGenerator<JobEvent> {
  const { store, feed, jobId, notTried = [], signal } = options;
  const dirty = new Set<string>();
  let wake = (): void => {};
  const unsubscribe = feed.subscribe(jobId, (runId) => {
    dirty.add(runId);
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const runs = store.runs.ofJob(jobId);
    const cursors = new Map<string, Cursor>();
    for (const run of runs) {
      const log = new LogCursor(store.runs, run, options.from[run.index] ?? 0);
      cursors.set(run.id, { log, state: undefined, ended: false });
      dirty.add(run.id);
    }
    options.whenBlocked?.(() => {
      for (const { log } of cursors.values()) log.release();
    });
    yield {
      type: 'job',
      job: jobId,
      runs: runs.map(({ id, index, nodeName, state }) => ({ run: id, index, node: nodeName, state })),
      ...(notTried.length === 0 ? {} : { notTried }),
    };
    let open = runs.length;
    while (open > 0 && !signal.aborted) {
      const [runId] = dirty;
      if (runId === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      dirty.delete(runId);
      const cursor = cursors.get(runId);
      if (cursor === undefined || cursor.ended) continue;
      const hasMore = yield* step(store, runId, cursor);
      if (cursor.ended) open -= 1;
      // To the end of the line: a run that talks a lot must not keep the others from being heard.
      else if (hasMore) dirty.add(runId);
    }
    if (!signal.aborted) yield { type: 'done', job: jobId };
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', onAbort);
  }
}

/** What is new about one run, at most {@link MOST_PIECES} of its log; whether there may be more already. */
async function* step(store: ApiStore, runId: string, cursor: Cursor): AsyncGenerator<JobEvent, boolean> {
  const run = store.runs.byId(runId);
  if (run === undefined) {
    cursor.ended = true;
    return false;
  }
  if (run.state !== cursor.state && !isTerminal(run.state)) yield stateEvent(run);
  cursor.state = run.state;
  for (let count = 0; count < MOST_PIECES; count += 1) {
    const piece = cursor.log.read(run.logBytes);
    if (piece === undefined) break;
    yield* logEvent(run, piece);
    if (count === MOST_PIECES - 1) return true;
  }
  if (isTerminal(run.state)) {
    cursor.ended = true;
    yield { type: 'end', next: Math.min(cursor.log.offset, run.logBytes), ...runView(run) };
  }
  return false;
}

/** @throws FleetError `bad_request` when no event begins at an offset */
export function checkOffsets(store: ApiStore, runs: readonly RunRecord[], from: Record<string, number>): void {
  for (const run of runs) new LogCursor(store.runs, run, from[run.index] ?? 0).read(run.logBytes);
}

function* logEvent(run: RunRecord, { type, payload, next }: LogPiece): Generator<JobEvent> {
  if (type === FRAME_TYPE.started) yield* startedEvents(run, payload, next);
  if (type === FRAME_TYPE.live) yield { type: 'live', run: run.id, index: run.index, node: run.nodeName, next };
  if (type === FRAME_TYPE.gap) {
    const gap = runGapSchema.parse(JSON.parse(payload.toString()));
    yield { type: 'gap', run: run.id, index: run.index, node: run.nodeName, next, ...gap };
  }
  if (type !== FRAME_TYPE.stdout && type !== FRAME_TYPE.stderr) return;
  const stream = type === FRAME_TYPE.stdout ? 'stdout' : 'stderr';
  yield { type: stream, run: run.id, index: run.index, node: run.nodeName, next, ...encodeData(payload) };
}

/** Only a run of an agent, or one whose command is over, has more to tell than its state does. */
function* startedEvents(run: RunRecord, payload: Buffer, next: number): Generator<JobEvent> {
  const { agent, exited } = runStartedSchema.safeParse(JSON.parse(payload.toString())).data ?? {};
  const where = { run: run.id, index: run.index, node: run.nodeName, next };
  if (agent !== undefined) yield { type: 'agent', job: run.jobId, ...where, agent };
  if (exited !== undefined) yield { type: 'exited', ...where, ...exited };
}

function stateEvent(run: RunRecord): JobEvent {
  const at = run.startedAt ?? run.deliveredAt ?? run.queuedAt;
  return {
    type: 'state',
    job: run.jobId,
    run: run.id,
    index: run.index,
    node: run.nodeName,
    state: run.state,
    at: new Date(at).toISOString(),
  };
}
