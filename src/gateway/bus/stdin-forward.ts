/** Forwards somebody's stdin to a run. A stream that breaks must never look like one that ended. */
import { PassThrough, type Readable } from 'node:stream';
import { isTerminal } from '../../domain/states.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { NodeClient } from './node-client.ts';
import type { RunFeed } from './run-facts.ts';
import type { RunRecord } from './runs-table.ts';

const CUT_BEFORE = 'stdin_lost: it was cut off before the command began';

interface StdinForwardOptions {
  feed: RunFeed;
  current(): RunRecord;
  client(): NodeClient | undefined;
  cancel(reason: string): Promise<void>;
}

/** What became of stdin: the node has taken all of it, the run had ended and wanted no (more) of it, or it was cut off. */
export type StdinOutcome = 'ok' | 'not_running' | 'connection_lost';

/**
 * Waits until the run is delivered, then sends `stream` to it. When either side breaks before its end, the run is canceled with the reason
 * `stdin_lost`.
 */
export async function forwardStdin(
  run: RunRecord,
  stream: Readable,
  options: StdinForwardOptions,
): Promise<StdinOutcome> {
  await untilDelivered(run, stream, options);
  if (isTerminal(options.current().state)) {
    stream.resume();
    return isCut(stream) ? 'connection_lost' : 'not_running';
  }
  if (isCut(stream)) {
    await options.cancel(CUT_BEFORE);
    return 'connection_lost';
  }
  const abort = new AbortController();
  const unsubscribe = options.feed.subscribe(run.jobId, () => {
    if (isTerminal(options.current().state)) abort.abort();
  });
  // Between the request that brings it and the one that takes it along: destroyed with an error, it never looks ended.
  const passing = new PassThrough();
  stream.once('error', (error) => passing.destroy(error));
  stream.once('close', () => {
    if (!stream.readableEnded) passing.destroy(new Error('stdin was cut off'));
  });
  stream.pipe(passing);
  passing.once('error', () => abort.abort());
  try {
    const client = options.client();
    if (client === undefined) throw new Error('the node went away');
    await client.stdin(run.id, passing, abort.signal);
    return 'ok';
  } catch (error) {
    if (isTerminal(options.current().state)) return 'not_running';
    await options.cancel(`stdin_lost: ${toFleetError(error).message}`);
    return 'connection_lost';
  } finally {
    unsubscribe();
    stream.unpipe(passing);
    stream.resume();
    // A node that answered before it has taken everything would wait for the rest for ever, and so would its channel.
    if (!passing.readableEnded) abort.abort();
  }
}

/** Whether the stream broke before its end. */
function isCut(stream: Readable): boolean {
  return stream.destroyed && !stream.readableEnded;
}

async function untilDelivered(run: RunRecord, stream: Readable, options: StdinForwardOptions): Promise<void> {
  const waiting = (): boolean => options.current().state === 'queued';
  if (!waiting() || isCut(stream)) return;
  await new Promise<void>((resolve, reject) => {
    const unsubscribe = options.feed.subscribe(run.jobId, () => {
      if (waiting()) return;
      unsubscribe();
      resolve();
    });
    stream.once('close', () => {
      unsubscribe();
      if (!waiting()) return resolve();
      options.cancel(CUT_BEFORE).then(resolve, reject);
    });
  });
}
