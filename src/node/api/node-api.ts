/** The node's API, which only its gateway reaches, through the tunnel: runs are handed over, followed, canceled, acknowledged. */
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { encodeFrame, FRAME_TYPE, FrameDecoder } from '../../protocol/frames.ts';
import { MAX_BODY_BYTES } from '../../protocol/limits.ts';
import { runSpecSchema } from '../../protocol/run-spec.ts';
import { TICKET_HEADER } from '../../protocol/ticket.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, createApp, parseInput, queryInteger } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Runner } from '../runner/runner.ts';
import { verifyTicket } from './verify-ticket.ts';

/** A log without news says `ping` so often, ms: a run may be silent for days, a tunnel may not. */
const PING_INTERVAL_MS = 10_000;
const PING_FRAME = encodeFrame(FRAME_TYPE.ping, Buffer.alloc(0));

export interface NodeApiOptions {
  runner: Runner;
  /** The node's id and the gateway's signing keys, once it is paired. */
  pairing(): { id: string; signingKeys: readonly string[] } | undefined;
  gatewayNow(): number;
  logger: Logger;
}

export function createNodeApi(options: NodeApiOptions): App {
  const { runner, logger } = options;
  const app = createApp(logger, MAX_BODY_BYTES);
  // The ticket is bound to the bytes, so they are kept as they came.
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.put('/v1/runs/:run', async (request, reply) => {
    const run = runOf(request);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const pairing = options.pairing();
    if (pairing === undefined) throw new FleetError('not_paired', 'this node is not paired');
    const ticket = request.headers[TICKET_HEADER];
    await verifyTicket({
      ticket: typeof ticket === 'string' ? ticket : undefined,
      run,
      nodeId: pairing.id,
      body,
      signingKeys: pairing.signingKeys,
      now: options.gatewayNow(),
    });
    const spec = parseInput(runSpecSchema, parseJson(body), 'the spec of the run');
    if (spec.run !== run || spec.nodeId !== pairing.id)
      throw new FleetError('forbidden', 'the spec is for another run or node');
    return reply.code(201).send(runner.accept(spec));
  });

  app.get('/v1/runs', () => ({ runs: endedRuns(runner) }));

  app.get('/v1/runs/:run', (request) => {
    const run = runOf(request);
    const status = runner.status(run);
    if (status === undefined) throw new FleetError('not_found', `no run ${run}`);
    return status;
  });

  app.get('/v1/runs/:run/log', async (request, reply) => {
    const run = runOf(request);
    if (runner.status(run) === undefined) throw new FleetError('not_found', `no run ${run}`);
    await sendLog(reply, (signal) => runner.readLog(run, queryInteger(request, 'from') ?? 0, signal));
    return reply;
  });

  app.post('/v1/runs/:run/cancel', (request) => runner.cancel(runOf(request)));

  app.post('/v1/runs/:run/acknowledge', (request, reply) => {
    runner.acknowledge(runOf(request));
    return reply.code(204).send();
  });

  app.post('/v1/runs/:run/stdin', async (request, reply) => {
    const sink = runner.stdin(runOf(request));
    try {
      await pipeline(request.body as Readable, sink);
    } catch (error) {
      // The command may have closed its stdin and gone on, as `head` does; that is its right.
      logger.info({ err: error, run: runOf(request) }, 'stdin of a run ended early');
    }
    return reply.code(204).send();
  });

  return app;
}

/** Streams log bytes until the end frame; between frames, while nothing comes, pings. @throws FleetError what `open` throws at once. */
async function sendLog(reply: FastifyReply, open: (signal: AbortSignal) => AsyncIterable<Buffer>): Promise<void> {
  const gone = new AbortController();
  const log = open(gone.signal);
  reply.hijack();
  const { raw } = reply;
  raw.once('close', () => gone.abort());
  raw.writeHead(200, { 'content-type': 'application/octet-stream' });
  const body = new PassThrough();
  // The pieces of a log end anywhere; a ping inside a frame would become a part of its payload.
  const border = new FrameDecoder();
  let quiet = true;
  const ping = setInterval(() => {
    if (quiet && border.pendingBytes === 0) body.write(PING_FRAME);
    quiet = true;
  }, PING_INTERVAL_MS);
  ping.unref();
  const sent = pipeline(body, raw);
  try {
    for await (const chunk of log) {
      quiet = false;
      border.push(chunk);
      if (!body.write(chunk)) await drained(body);
      if (gone.signal.aborted) break;
    }
    body.end();
    await sent;
  } catch (error) {
    body.destroy();
    raw.destroy();
    await sent.catch(() => undefined);
    if (!gone.signal.aborted) throw error;
  } finally {
    clearInterval(ping);
  }
}

function drained(stream: PassThrough): Promise<void> {
  // It may have been closed before this write, and would not say so again.
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}

/** Those whose end the gateway may not have stored yet. */
function endedRuns(runner: Runner): string[] {
  return runner
    .list()
    .filter(({ outcome }) => outcome !== null)
    .map(({ run }) => run);
}

function runOf(request: FastifyRequest): string {
  return (request.params as { run: string }).run;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new FleetError('bad_request', 'the body cannot be read as JSON', { cause: error });
  }
}
