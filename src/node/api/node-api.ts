/** The node's API, reachable only by its gateway, through the tunnel: runs are handed over, followed, canceled and acknowledged. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MAX_BODY_BYTES } from '../../domain/limits.ts';
import { LOG_CONTENT_TYPE } from '../../protocol/frames.ts';
import { processesQuery } from '../../protocol/node-messages.ts';
import { acknowledgeRequest, attendRequest, runSpecSchema, TICKET_HEADER } from '../../protocol/run-spec.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { type App, createApp, parseInput, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import { sendStream } from '../../shared/http/send-stream.ts';
import type { Logger } from '../../shared/logger.ts';
import type { ReadProcesses } from '../metrics/processes.ts';
import type { Policy } from '../policy/policy.ts';
import type { Runner } from '../runner/runner.ts';
import { verifyTicket } from './verify-ticket.ts';

export interface NodeApiOptions {
  runner: Runner;
  /** The node's id and the gateway's signing keys, once it is paired. */
  pairing(): { id: string; signingKeys: readonly string[] } | undefined;
  gatewayNow(): number;
  /** The node's own say. */
  policy: Pick<Policy, 'check' | 'requireFree'>;
  readProcesses: ReadProcesses;
  logger: Logger;
}

export function createNodeApi(options: NodeApiOptions): App {
  const { runner, logger } = options;
  const app = createApp(logger, MAX_BODY_BYTES);
  // Unparsed, because the ticket is bound to the exact bytes.
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.put('/v1/runs/:run', async (request, reply) => {
    const run = runOf(request);
    const body = bytesOf(request.body);
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
    const spec = parseInput(runSpecSchema, parseJson(request.body), 'the spec of the run');
    if (spec.run !== run || spec.nodeId !== pairing.id)
      throw new FleetError('forbidden', 'the spec is for another run or node');
    // A repetition starts nothing, so the policy has no say.
    if (runner.status(run) === undefined) await options.policy.check(spec);
    // Checked again, because the same run may arrive twice at once. Nothing is awaited from here on, so the count holds.
    if (runner.status(run) === undefined) options.policy.requireFree(runner.atWork);
    const status = runner.accept(spec, queryText(request, 'whole') === '1');
    // With the log, a run takes one round trip. If the log is gone, the request for it alone reports that.
    if (queryText(request, 'log') !== '1') return reply.code(201).send(status);
    try {
      return await sendFrames(reply, run, (signal) => runner.readLog(run, 0, signal), 201);
    } catch (error) {
      logger.info({ err: error, run }, 'a run was handed over again after its log was removed');
      return reply.code(201).send(status);
    }
  });

  // Those whose end the gateway may not have stored yet.
  app.get('/v1/runs', () => {
    const ended = runner.list().filter(({ outcome }) => outcome !== null);
    return { runs: ended.map(({ run }) => run) };
  });

  app.get('/v1/runs/:run', (request) => {
    const run = runOf(request);
    const status = runner.status(run);
    if (status === undefined) throw new FleetError('not_found', `no run ${run}`);
    if (status.outcome === null) runner.requireAnswers();
    return status;
  });

  app.get('/v1/runs/:run/log', async (request, reply) => {
    const run = runOf(request);
    if (runner.status(run) === undefined) throw new FleetError('not_found', `no run ${run}`);
    const from = queryInteger(request, 'from') ?? 0;
    return await sendFrames(reply, run, (signal) => runner.readLog(run, from, signal));
  });

  app.get('/v1/runs/:run/live', async (request, reply) => {
    const run = runOf(request);
    const from = queryInteger(request, 'from') ?? 0;
    return await sendFrames(reply, run, (signal) => runner.readLive(run, from, signal));
  });

  app.post('/v1/runs/:run/attend', (request, reply) => {
    const { forMs } = parseInput(attendRequest, parseJson(request.body), 'the request');
    runner.attend(runOf(request), forMs);
    return reply.code(204).send();
  });

  app.post('/v1/runs/:run/cancel', (request) => runner.cancel(runOf(request)));

  app.get('/v1/processes', async (request) => ({
    processes: await options.readProcesses(parseInput(processesQuery, request.query, 'the query')),
  }));

  app.post('/v1/acknowledge', (request) => {
    const { runs } = parseInput(acknowledgeRequest, parseJson(request.body), 'the acknowledgement');
    return { refused: runs.filter((run) => !acknowledge(run)) };
  });

  app.post('/v1/runs/:run/stdin', async (request, reply) => {
    const { body } = request;
    // Checked before stdin is taken: it can be taken once, and the command would wait for its end forever.
    if (!(body instanceof Readable))
      throw new FleetError('bad_request', 'stdin must be sent as application/octet-stream');
    const sink = runner.stdin(runOf(request));
    try {
      await pipeline(body, sink);
    } catch (error) {
      // The command may have closed its stdin, as `head` does.
      logger.info({ err: error, run: runOf(request) }, 'stdin of a run ended early');
    }
    return reply.code(204).send();
  });

  /** False if the run is unknown, or has not ended. */
  function acknowledge(run: string): boolean {
    try {
      runner.acknowledge(run);
      return true;
    } catch (error) {
      const { code } = toFleetError(error);
      if (code === 'not_found' || code === 'conflict') return false;
      throw error;
    }
  }

  /** @throws what `open` throws at once. */
  async function sendFrames(
    reply: FastifyReply,
    run: string,
    open: (signal: AbortSignal) => AsyncIterable<Buffer>,
    statusCode = 200,
  ): Promise<FastifyReply> {
    try {
      await sendStream(reply, { contentType: LOG_CONTENT_TYPE, statusCode, open });
    } catch (error) {
      // Once the answer has begun, the error is only logged.
      if (!reply.sent) throw error;
      logger.info({ err: error, run }, 'streaming the output of a run failed');
    }
    return reply;
  }

  return app;
}

function runOf(request: FastifyRequest): string {
  return (request.params as { run: string }).run;
}

function bytesOf(body: unknown): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
}

function parseJson(body: unknown): unknown {
  try {
    return JSON.parse(bytesOf(body).toString('utf8'));
  } catch (error) {
    throw new FleetError('bad_request', 'the body is not valid JSON', { cause: error });
  }
}
