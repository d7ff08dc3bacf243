import assert from 'node:assert/strict';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { loadOrCreateKeyFile, toSigningKey } from '../../../src/gateway/identity/signing-keys.ts';
import { issueTicket } from '../../../src/gateway/identity/tokens.ts';
import { createNodeApi, type NodeApiOptions } from '../../../src/node/api/node-api.ts';
import { LOG_CONTENT_TYPE } from '../../../src/protocol/frames.ts';
import type { RunSpec, RunStatus } from '../../../src/protocol/run-spec.ts';
import { TICKET_HEADER } from '../../../src/protocol/run-spec.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { openRequest, type RequestOptions, readJson, requestJson } from '../../../src/shared/http/request.ts';
import { createStreamAgent, StreamAcceptor } from '../../../src/shared/http/streams.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { socketPair } from '../../support/socket-pair.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { cleanUp, makeSpec, parseLog, readWhole, startRunner, until, untilSaid } from '../runner/support/harness.ts';

/** Allows everything, as a node without a policy. */
const NO_POLICY: NodeApiOptions['policy'] = { check: async () => {}, requireFree: () => {} };

async function setUp(t: TestContext, policy = NO_POLICY, changes: Parameters<typeof startRunner>[1] = {}) {
  const signingKey = toSigningKey(loadOrCreateKeyFile(path.join(tempFolder(t), 'k'), 'x'));
  const runner = await startRunner(t, changes);
  const pairing = { id: 'n1', signingKeys: [signingKey.rawPublicKey.toString('base64url')] };
  const state = { paired: true };
  const asked: string[] = [];
  const api = createNodeApi({
    runner,
    pairing: () => (state.paired ? pairing : undefined),
    gatewayNow: () => Date.now(),
    policy,
    readProcesses: async ({ limit, sort }) => {
      asked.push(`${sort} ${limit}`);
      return [];
    },
    logger: silentLogger,
  });
  await api.ready();
  const acceptor = new StreamAcceptor(api.server);
  const agent = createStreamAgent(async () => {
    const [near, far] = socketPair();
    acceptor.accept(far);
    cleanUp(t, () => near.destroy());
    return near;
  });
  cleanUp(t, () => api.close());
  const json = <T = Record<string, never>>(
    method: RequestOptions['method'],
    route: string,
    more: Partial<RequestOptions> = {},
  ) => requestJson<T>({ agent, method, path: route, ...more });
  const bytesOf = (spec: RunSpec) => Buffer.from(JSON.stringify(spec));
  const ticketFor = (spec: RunSpec, bytes: Buffer = bytesOf(spec)) =>
    issueTicket({ signingKey, clock: systemClock }, { id: spec.run, nodeId: spec.nodeId }, bytes);
  const handOver = async (spec: RunSpec, more: Partial<RequestOptions> = {}) =>
    await json<RunStatus>('PUT', `/v1/runs/${spec.run}`, {
      bytes: bytesOf(spec),
      headers: { [TICKET_HEADER]: await ticketFor(spec) },
      ...more,
    });
  const openLog = (run: string, from: number | string) =>
    openRequest({ agent, method: 'GET', path: `/v1/runs/${run}/log?from=${from}` });
  const acknowledge = (...runs: string[]) => json('POST', '/v1/acknowledge', { body: { runs } });
  return { runner, state, acknowledge, json, handOver, ticketFor, bytesOf, openLog, agent, asked };
}

const DEADLINE = { timeout: 20_000 };

test('handed over once or often, a run starts once; its log is read live from any frame on', DEADLINE, async (t) => {
  const { handOver, openLog, acknowledge, json, runner } = await setUp(t);
  const folder = tempFolder(t);
  const spec = makeSpec(`echo x >> ${folder}/count; echo first; sleep 0.1; cat ${folder}/count`);
  const answers = await Promise.all([handOver(spec), handOver(spec), handOver(spec)]);
  assert.deepEqual(
    answers.map(({ run }) => run),
    [spec.run, spec.run, spec.run],
  );
  const chunks: Buffer[] = [];
  for await (const chunk of await openLog(spec.run, 0)) chunks.push(chunk as Buffer);
  const whole = parseLog(Buffer.concat(chunks));
  assert.equal(whole.stdout.toString(), 'first\nx\n');
  const rest: Buffer[] = [];
  for await (const chunk of await openLog(spec.run, 100)) rest.push(chunk as Buffer);
  assert.deepEqual(Buffer.concat(rest), whole.log.subarray(100));
  assert.deepEqual(await json('GET', '/v1/runs'), { runs: [spec.run] });
  assert.deepEqual(await acknowledge(spec.run, 'nothing'), { refused: ['nothing'] });
  assert.deepEqual(await json('GET', '/v1/runs'), { runs: [] });
  assert.equal((await json<RunStatus>('GET', `/v1/runs/${spec.run}`)).outcome?.exitCode, 0);
  assert.equal(runner.active, 0);
});

test(
  'asked to, a hand-over answers with the whole log, live; or with the status, when the log is gone',
  DEADLINE,
  async (t) => {
    const { bytesOf, ticketFor, acknowledge, agent, runner } = await setUp(t, NO_POLICY, { maxSpoolBytes: 100_000 });
    const spec = makeSpec('echo said; head -c 60000 /dev/zero; sleep 0.2; echo end');
    const handOverWithLog = async (handed: RunSpec) =>
      await openRequest({
        agent,
        method: 'PUT',
        path: `/v1/runs/${handed.run}?log=1`,
        bytes: bytesOf(handed),
        headers: { [TICKET_HEADER]: await ticketFor(handed), 'content-type': 'application/json' },
      });
    const readAll = async (handed: RunSpec): Promise<Buffer> => {
      const answer = await handOverWithLog(handed);
      assert.deepEqual([answer.statusCode, answer.headers['content-type']], [201, LOG_CONTENT_TYPE]);
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    };
    const [first, second] = await Promise.all([readAll(spec), readAll(spec)]);
    const { stdout, outcome } = parseLog(first);
    assert.equal(outcome.exitCode, 0);
    assert.ok(stdout.toString().startsWith('said') && stdout.toString().endsWith('end\n'));
    assert.ok(first.equals(second));
    assert.ok(first.equals(await readAll(spec)));
    await acknowledge(spec.run);
    const other = makeSpec('head -c 60000 /dev/zero');
    await readAll(other);
    await acknowledge(other.run);
    const repeated = await handOverWithLog(spec);
    assert.equal(repeated.statusCode, 201);
    assert.equal((await readJson<RunStatus>(repeated, { method: 'PUT', path: '' })).outcome?.exitCode, 0);
    await assert.rejects(handOverWithLog({ ...spec, command: 'false' }), { code: 'conflict' });
    assert.equal(runner.active, 0);
  },
);

test('nothing runs without a ticket for exactly this', DEADLINE, async (t) => {
  const { handOver, ticketFor, bytesOf, state, runner } = await setUp(t);
  const spec = makeSpec('true');
  const other = makeSpec('true');
  const foreign = { ...spec, nodeId: 'n2' };
  const changed = Buffer.from(JSON.stringify(spec).replace('true', 'evil'));
  const ticket = await ticketFor(spec);
  const wrong: Partial<RequestOptions>[] = [
    { headers: {} },
    { headers: { [TICKET_HEADER]: '' } },
    { headers: { [TICKET_HEADER]: await ticketFor(other) } },
    { headers: { [TICKET_HEADER]: await ticketFor(foreign) } },
    { headers: { [TICKET_HEADER]: ticket }, bytes: changed },
    { headers: { [TICKET_HEADER]: ticket, 'content-type': 'text/plain' } },
    { headers: { [TICKET_HEADER]: ticket, 'content-type': 'application/octet-stream' } },
    // Signed by the gateway for this node, but about another run or node than the path and the node itself.
    { headers: { [TICKET_HEADER]: await ticketFor(spec, bytesOf(other)) }, bytes: bytesOf(other) },
    { headers: { [TICKET_HEADER]: await ticketFor(spec, bytesOf(foreign)) }, bytes: bytesOf(foreign) },
  ];
  for (const more of wrong) await assert.rejects(handOver(spec, more), { code: 'forbidden' });
  const garbage = Buffer.from('{"run":');
  await assert.rejects(
    handOver(spec, { bytes: garbage, headers: { [TICKET_HEADER]: await ticketFor(spec, garbage) } }),
    { code: 'bad_request' },
  );
  state.paired = false;
  await assert.rejects(handOver(spec), { code: 'not_paired' });
  assert.deepEqual(runner.list(), []);
});

test('another spec under the same id is a conflict, and runs nothing', DEADLINE, async (t) => {
  const { handOver } = await setUp(t);
  const spec = makeSpec('true');
  await handOver(spec);
  await assert.rejects(handOver({ ...spec, command: 'false' }), { code: 'conflict' });
});

test('what cannot be read is refused with its code, not with a stream that breaks', DEADLINE, async (t) => {
  const { handOver, openLog, acknowledge, json, runner } = await setUp(t);
  await assert.rejects(openLog('nothing', 0), { code: 'not_found' });
  await assert.rejects(json('GET', '/v1/runs/nothing'), { code: 'not_found' });
  await assert.rejects(json('POST', '/v1/runs/nothing/cancel'), { code: 'not_found' });
  const spec = makeSpec('sleep 30');
  await handOver(spec);
  await assert.rejects(openLog(spec.run, 1e9), { code: 'bad_request' });
  for (const from of ['-1', 'x', '1.5']) await assert.rejects(openLog(spec.run, from), { code: 'bad_request' }, from);
  assert.deepEqual(await acknowledge(spec.run), { refused: [spec.run] });
  const canceled = await json<RunStatus>('POST', `/v1/runs/${spec.run}/cancel`);
  assert.equal(canceled.state, 'canceled');
  assert.equal((await readWhole(runner, spec.run)).outcome.state, 'canceled');
});

test('stdin: whole, cut, and wrongly sent', DEADLINE, async (t) => {
  const { handOver, json, runner, agent } = await setUp(t);
  const octets = { headers: { 'content-type': 'application/octet-stream' } };
  const whole = makeSpec('cat', { stdin: true });
  await handOver(whole);
  await assert.rejects(json('POST', `/v1/runs/${whole.run}/stdin`, { body: { text: 'x' } }), { code: 'bad_request' });
  await assert.rejects(json('POST', `/v1/runs/${whole.run}/stdin`), { code: 'bad_request' });
  await json('POST', `/v1/runs/${whole.run}/stdin`, { ...octets, stream: Readable.from([Buffer.from('hello')]) });
  assert.equal((await readWhole(runner, whole.run)).stdout.toString(), 'hello');

  const cut = makeSpec('cat; echo whole', { stdin: true });
  await handOver(cut);
  const stream = new PassThrough();
  const controller = new AbortController();
  const sending = openRequest({
    agent,
    method: 'POST',
    path: `/v1/runs/${cut.run}/stdin`,
    ...octets,
    stream,
    signal: controller.signal,
  });
  const refused = assert.rejects(sending, { code: 'connection_lost' });
  stream.write('half\n');
  await untilSaid(runner, cut.run, 'half');
  controller.abort();
  await refused;
  const ended = await readWhole(runner, cut.run);
  assert.equal(ended.outcome.state, 'canceled');
  assert.equal(ended.stdout.toString(), 'half\n', 'the command never saw an end of its input');

  const closing = makeSpec('exec 0<&-; echo closed; sleep 0.2', { stdin: true });
  await handOver(closing);
  await json('POST', `/v1/runs/${closing.run}/stdin`, { ...octets, stream: Readable.from([Buffer.alloc(300_000)]) });
  assert.equal((await readWhole(runner, closing.run)).outcome.exitCode, 0);
});

test('a reader that goes away leaves nothing behind, and the run goes on', DEADLINE, async (t) => {
  const { handOver, openLog, runner } = await setUp(t);
  const spec = makeSpec('echo said; sleep 0.3; echo end');
  await handOver(spec);
  const log = await openLog(spec.run, 0);
  await new Promise((resolve) => log.once('data', resolve));
  log.destroy();
  const { stdout } = await readWhole(runner, spec.run);
  assert.equal(stdout.toString(), 'said\nend\n');
  await until(() => runner.active === 0, 'the end');
});

test('what the policy refuses is not in the journal; what was accepted is not judged again', DEADLINE, async (t) => {
  const judged: string[] = [];
  let isStrict = false;
  const check = async ({ run }: RunSpec): Promise<void> => {
    judged.push(run);
    if (isStrict) throw new FleetError('policy_denied', 'node.policy.kinds: no');
  };
  const { handOver, json, runner } = await setUp(t, { check, requireFree: () => {} });
  const accepted = makeSpec('true');
  await handOver(accepted);
  isStrict = true;
  await handOver(accepted);
  assert.deepEqual(judged, [accepted.run]);
  const refused = makeSpec('true');
  await assert.rejects(handOver(refused), { code: 'policy_denied' });
  await assert.rejects(json('GET', `/v1/runs/${refused.run}`), { code: 'not_found' });
  await assert.rejects(handOver({ ...refused, nodeId: 'n2' }), { code: 'forbidden' }, 'the ticket comes first');
  assert.equal(judged.length, 2);
  await until(() => runner.active === 0, 'the end of the accepted run');
});

test('as many runs at once as the policy allows, even when more come at the same moment', DEADLINE, async (t) => {
  const requireFree = (active: number): void => {
    if (active >= 2) throw new FleetError('busy', 'enough');
  };
  const { handOver, json, runner } = await setUp(t, { check: async () => {}, requireFree });
  const specs = Array.from({ length: 6 }, () => makeSpec('sleep 30'));
  const taken = await Promise.allSettled(specs.map((spec) => handOver(spec)));
  assert.equal(taken.filter(({ status }) => status === 'fulfilled').length, 2);
  assert.equal(runner.active, 2);
  for (const [index, { status }] of taken.entries()) {
    const spec = specs[index];
    if (status === 'rejected' || spec === undefined) continue;
    await handOver(spec);
    await json('POST', `/v1/runs/${spec.run}/cancel`);
  }
});

test('processes are asked for with a limit and an order, and wrong ones are refused', DEADLINE, async (t) => {
  const { json, asked } = await setUp(t);
  assert.deepEqual(await json('GET', '/v1/processes'), { processes: [] });
  await json('GET', '/v1/processes?limit=50&sort=mem');
  assert.deepEqual(asked, ['cpu 10', 'mem 50']);
  for (const query of ['limit=0', 'limit=51', 'limit=1.5', 'limit=x', 'sort=name']) {
    await assert.rejects(json('GET', `/v1/processes?${query}`), { code: 'bad_request' }, query);
  }
  assert.equal(asked.length, 2);
});
