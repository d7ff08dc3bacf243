import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { GatewayClient } from '../../src/client/gateway-client.ts';
import { NodeControlClient } from '../../src/client/node-control-client.ts';
import { readEvents } from '../../src/client/read-events.ts';
import type { FleetError } from '../../src/shared/errors.ts';
import { FakeGateway, json } from '../client/fake-gateway.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** Of everything that a client asks and reads as JSON. */
const CALLS: Record<string, (client: GatewayClient) => Promise<unknown>> = {
  'GET /v1/gateway': (client) => client.gateway(),
  'POST /v1/gateway/reload': (client) => client.reload(),
  'POST /v1/gateway/shutdown': (client) => client.shutdown(),
  'POST /v1/gateway/rotate-key': (client) => client.rotateKey(),
  'POST /v1/invites': (client) => client.invite({} as never),
  'GET /v1/invites': (client) => client.invites(),
  'DELETE /v1/invites/x': (client) => client.revokeInvite('x'),
  'GET /v1/keys': (client) => client.keys(),
  'POST /v1/keys/x/revoke': (client) => client.revokeKey('x'),
  'GET /v1/nodes': (client) => client.nodes(),
  'GET /v1/nodes/x': (client) => client.node('x'),
  'PATCH /v1/nodes/x': (client) => client.changeNode('x', {}),
  'GET /v1/pending': (client) => client.pending(),
  'POST /v1/pending/x': (client) => client.decidePending('x', { decision: 'approve' }),
  'POST /v1/jobs': (client) => client.submitJob({} as never),
  'GET /v1/jobs': (client) => client.jobs(),
  'GET /v1/jobs/x': (client) => client.job('x'),
  'POST /v1/jobs/x/cancel': (client) => client.cancelJob('x'),
  'GET /v1/audit': (client) => client.auditPage({}),
  'GET /v1/audit/head': (client) => client.auditHead(),
  'GET /v1/health': (client) => client.health(),
  'GET /v1/alerts': (client) => client.alerts(),
  'GET /v1/alerts/silences': (client) => client.silences(),
  'POST /v1/alerts/test': (client) => client.testAlerts(),
  'GET /v1/nodes/x/processes': (client) => client.processes('x', {}),
  'GET /v1/schedules': (client) => client.schedules(),
  'GET /v1/schedules/x': (client) => client.schedule('x'),
  'GET /v1/schedules/x/history': (client) => client.scheduleHistory('x'),
};

const WRONG: unknown[] = [null, [], 'text', 7, { nodes: 'all', jobs: 1, lines: [{}] }, { nodes: [null], jobs: [null] }];

test('every answer is checked: what is not what was asked for is an error, and no defect', {
  timeout: 60_000,
}, async (t) => {
  const gateway = await new FakeGateway().listen();
  t.after(() => gateway.close());
  const client = new GatewayClient({ socketPath: gateway.socketPath });
  for (const [route, call] of Object.entries(CALLS)) {
    for (const wrong of WRONG) {
      // For what answers nothing an object is as good as nothing.
      if (route.startsWith('DELETE') && typeof wrong === 'object' && wrong !== null && !Array.isArray(wrong)) continue;
      gateway.answerWith(route, json(wrong));
      const what = `${route} answered ${JSON.stringify(wrong)}`;
      const known = (error: FleetError): boolean => ['protocol_unsupported', 'connection_lost'].includes(error.code);
      await assert.rejects(call(client), known, what);
    }
  }
});

test('the same of a node on this machine', { timeout: 60_000 }, async (t) => {
  const node = await new FakeGateway().listen();
  t.after(() => node.close());
  const client = new NodeControlClient({ socketPath: node.socketPath, profile: 'p' });
  for (const wrong of WRONG) {
    node.answerWith('GET /v1/status', json(wrong));
    await assert.rejects(client.status(), { code: 'protocol_unsupported' });
  }
});

test('events that are none, or whose names a terminal would obey, end the stream; later kinds pass', async () => {
  const readLine = async (line: string): Promise<unknown[]> => {
    const stream = new PassThrough();
    Readable.from([`${line}\n`]).pipe(stream);
    const events: unknown[] = [];
    for await (const each of readEvents(stream, new FakeClock())) events.push(each);
    return events;
  };
  const read = async (event: unknown): Promise<unknown[]> => await readLine(JSON.stringify(event));
  const stdout = { type: 'stdout', run: 'r', index: 0, node: 'n', next: 7, data: 'x\u001b[31m' };
  assert.deepEqual(await read(stdout), [stdout]);
  assert.deepEqual(await read({ type: 'later', any: null }), [{ type: 'later', any: null }]);
  const place = { run: 'r', index: 0, node: 'n', next: 1 };
  const exited = { type: 'exited', ...place, exitCode: 0, signal: null, holders: [{ pid: 7, name: 'sleep' }] };
  const counts = { stdoutBytes: 0, stderrBytes: 0 };
  const ended = { exitCode: 0, signal: null, reason: null, durationMs: 1 };
  const end = { type: 'end', ...place, ...counts, ...ended, state: 'exited' };
  const job = { type: 'job', job: 'j', runs: [], notTried: ['n'] };
  for (const event of [exited, end, job]) assert.deepEqual(await read(event), [event]);
  const deepLine = `{"type":"later","any":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
  await assert.rejects(readLine(deepLine), { code: 'internal' });
  const wrong = [
    { ...exited, holders: [null] },
    { ...exited, holders: [{ pid: '\u001b[31m', name: 'x' }] },
    { ...exited, holders: [{ pid: 7, name: null }] },
    { ...exited, exitCode: '\u001b[31m' },
    { ...exited, signal: 'KILL\u001b' },
    { ...end, exitCode: '\u001b[31m' },
    { ...end, exitCode: {} },
    { ...end, signal: 9 },
    { ...end, reason: {} },
    { ...end, stdoutBytes: 1e308 },
    { ...end, durationMs: -1 },
    { type: 'gap', ...place, stdoutBytes: -1e308, stderrBytes: 0 },
    { ...job, notTried: 7 },
    { ...job, notTried: [7] },
    { ...job, notTried: ['\u009b31m'] },
    { type: 'agent', ...place, agent: { name: 'x' } },
    { ...stdout, next: -1 },
    null,
    7,
    [],
    { type: 7 },
    { type: 'done' },
    { ...stdout, data: 7 },
    { ...stdout, next: '7' },
    { ...stdout, node: 'n\u009b31m' },
    { ...stdout, node: 'n\u202e' },
    { type: 'job', job: 'j', runs: {} },
    { type: 'job', job: 'j', runs: [null] },
    { type: 'job', job: 'j', runs: [{ run: 'r', index: 0, node: 'n\u001b', state: 'queued' }] },
    { type: 'agent', run: 'r', index: 0, node: 'n', next: 1, agent: null },
    { type: 'end', run: 'r', index: 0, node: 'n', next: 1, state: 'exited\u001b', stdoutBytes: 0 },
  ];
  for (const event of wrong) await assert.rejects(read(event), { code: 'internal' }, JSON.stringify(event));
});
