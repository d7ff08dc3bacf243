/** Forwards stdin to a run. A stream that breaks must never look like one that ended. */
import { PassThrough, type Readable } from 'node:stream';
import { isTerminal, type RunState } from '../../domain/states.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { BusContext } from './bus-context.ts';
import type { RunRecord } from './runs-table.ts';

const CUT_BEFORE = 'stdin_lost: it was cut off before the command began';

type StdinOptions = Pick<BusContext, 'store' | 'feed' | 'nodes'> & { cancel(reason: string): Promise<void> };

/** The node took all of stdin; the run ended without (more of) it; or it was cut off. */
export type StdinOutcome = 'ok' | 'not_running' | 'connection_lost';

/** Sends `stream` to the run once it is delivered. If either side breaks early, the run is canceled with the reason `stdin_lost`. */
export async function forwardStdin(run: RunRecord, stream: Readable, options: StdinOptions): Promise<StdinOutcome> {
  const { feed, nodes, cancel } = options;
  const state = (): RunState => (options.store.runs.byId(run.id) ?? run).state;
  await untilDelivered();
  if (isTerminal(state())) {
    stream.resume();
    return isCut(stream) ? 'connection_lost' : 'not_running';
  }
  if (isCut(stream)) {
    await cancel(CUT_BEFORE);
    return 'connection_lost';
  }
  const abort = new AbortController();
  const unsubscribe = feed.subscribe(run.jobId, () => {
    if (isTerminal(state())) abort.abort();
  });
  // Between the two requests: once destroyed with an error, it never looks ended.
  const passing = new PassThrough();
  stream.once('error', (error) => passing.destroy(error));
  stream.once('close', () => {
    if (!stream.readableEnded) passing.destroy(new Error('stdin was cut off'));
  });
  stream.pipe(passing);
  passing.once('error', () => abort.abort());
  try {
    const client = nodes.online(run.nodeId);
    if (client === undefined) throw new Error('the node went away');
    await client.stdin(run.id, passing, abort.signal);
    return 'ok';
  } catch (error) {
    if (isTerminal(state())) return 'not_running';
    await cancel(`stdin_lost: ${toFleetError(error).message}`);
    return 'connection_lost';
  } finally {
    unsubscribe();
    stream.unpipe(passing);
    stream.resume();
    // If the node answered early, it would otherwise wait for the rest forever, and so would its channel.
    if (!passing.readableEnded) abort.abort();
  }

  async function untilDelivered(): Promise<void> {
    const isQueued = (): boolean => state() === 'queued';
    if (!isQueued() || isCut(stream)) return;
    await new Promise<void>((resolve, reject) => {
      const unsubscribe = feed.subscribe(run.jobId, () => {
        if (isQueued()) return;
        unsubscribe();
        resolve();
      });
      stream.once('close', () => {
        unsubscribe();
        if (!isQueued()) return resolve();
        cancel(CUT_BEFORE).then(resolve, reject);
      });
    });
  }
}

/** Whether the stream broke before its end. */
function isCut(stream: Readable): boolean {
  return stream.destroyed && !stream.readableEnded;
}
