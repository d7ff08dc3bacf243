import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { ALL_CONNECTED } from '../../../src/domain/selector.ts';
import type { Authenticator } from '../../../src/gateway/api/authenticate.ts';
import { encodeFrame, FRAME_TYPE } from '../../../src/protocol/frames.ts';
import type { JobEvent, JobView } from '../../../src/protocol/job-messages.ts';
import { settle, until, within } from '../../support/deadline.ts';
import { endFrame, exitedFrame, startedFrame, stdoutFrame } from '../bus/fake-node.ts';
import { type TestApi, testApi } from './harness.ts';

const job = (changes: object = {}) => ({ kind: 'shell', command: 'true', target: { node: 'a' }, ...changes });

async function connected(t: Parameters<typeof testApi>[0]) {
  const api = await testApi(t);
  const { fake } = await api.addNode('a');
  await fake.connect();
  return { api, node: fake };
}

async function events(stream: Readable): Promise<JobEvent[]> {
  const all: JobEvent[] = [];
  for await (const line of createInterface({ input: stream })) all.push(JSON.parse(line) as JobEvent);
  return all;
}

function stateOf(api: TestApi, id: string): string | undefined {
  return api.store.runs.byId(`${id}.0`)?.state;
}

test('submit, look at it, list it, cancel it', async (t) => {
  const { api } = await connected(t);
  const submitted = await api.admin.json<JobView>('POST', '/v1/jobs', job({ command: 'sleep 9' }));
  assert.deepEqual(
    [submitted.command, submitted.createdBy, submitted.target, submitted.counts],
    ['sleep 9', 'local', 'a', { queued: 1 }],
  );
  await until(() => stateOf(api, submitted.job) === 'delivered', 'the delivery');
  for (const which of [submitted.job, submitted.job.slice(0, 6), `${submitted.job}.0`]) {
    assert.equal((await api.admin.json<JobView>('GET', `/v1/jobs/${which}`)).job, submitted.job);
  }
  const list = async (query: string) =>
    (await api.admin.json<{ jobs: JobView[] }>('GET', `/v1/jobs?${query}`)).jobs.length;
  assert.deepEqual(
    [await list('node=a'), await list('state=delivered'), await list('state=exited'), await list('limit=0')],
    [1, 1, 0, 0],
  );
  await assert.rejects(list('state=done'), { code: 'usage' });
  await assert.rejects(list('limit=-1'), { code: 'bad_request' });
  await assert.rejects(api.admin.json('GET', '/v1/jobs/nothing'), { code: 'not_found' });
  await api.admin.json('POST', `/v1/jobs/${submitted.job}/cancel`);
  await until(() => stateOf(api, submitted.job) === 'canceled', 'the cancel');
  await api.admin.json('POST', `/v1/jobs/${submitted.job}/cancel`);
});

test('wrong requests are refused before anything is stored', async (t) => {
  const { api } = await connected(t);
  const wrong: [object, string][] = [
    [job({ command: '' }), 'bad_request'],
    [job({ target: { node: 'nobody' } }), 'not_found'],
    [job({ target: { selector: 'a,b' } }), 'not_found'],
    [job({ target: { selector: '(' } }), 'bad_selector'],
    [job({ target: { selector: 'web-*' } }), 'not_found'],
    [job({ target: { selector: '*', exclude: 'a' } }), 'not_found'],
    [job({ target: { selector: ALL_CONNECTED, exclude: 'a' } }), 'node_offline'],
    [job({ env: { 'A B': 'x' } }), 'bad_request'],
    [job({ more: 1 }), 'bad_request'],
  ];
  for (const [body, code] of wrong)
    await assert.rejects(api.admin.json('POST', '/v1/jobs', body), { code }, JSON.stringify(body));
  assert.deepEqual(api.store.jobs.list({ since: 0, limit: 9 }), []);
});

test('a followed job: its events in order, to the end, and again from any offset that one of them has named', async (t) => {
  const { api, node } = await connected(t);
  const stream = await api.admin.open('POST', '/v1/jobs', job({ follow: true }));
  assert.equal(stream.headers['content-type'], 'application/x-ndjson');
  const following = events(stream);
  await until(() => node.runs.size === 1, 'the hand-over');
  const [id = ''] = node.runs.keys();
  node.write(id, startedFrame());
  for (const text of ['one\n', 'two\n', 'three\n']) {
    node.write(id, stdoutFrame(text));
    await settle();
  }
  node.end(id, { exitCode: 2, stdoutBytes: 14 });
  const all = await within(following, 'the events');
  assert.equal(all[0]?.type, 'job');
  assert.equal(all.at(-1)?.type, 'done');
  const end = all.find((event) => event.type === 'end');
  assert.equal(end?.type === 'end' && end.exitCode, 2);
  const out = all.flatMap((event) => (event.type === 'stdout' ? [event] : []));
  assert.equal(out.map(({ data }) => data).join(''), 'one\ntwo\nthree\n');
  for (const [index, { next }] of out.entries()) {
    const rest = await events(await api.admin.open('POST', `/v1/jobs/${id}/follow`, { from: { 0: next } }));
    const data = rest.flatMap((event) => (event.type === 'stdout' ? [event.data] : [])).join('');
    assert.equal(
      data,
      out
        .slice(index + 1)
        .map((event) => event.data)
        .join(''),
    );
  }
});

test('an offset that no event has named is refused, and does not keep the gateway busy for ever', async (t) => {
  const { api, node } = await connected(t);
  const { job: id } = await api.admin.json<JobView>('POST', '/v1/jobs', job());
  await until(() => node.runs.size === 1, 'the hand-over');
  // From the second byte of the payload on, this reads like the header of a frame that is longer than the rest.
  node.write(`${id}.0`, stdoutFrame('x\u0001\u0000\u0000\u0000\u0050 and so on'));
  node.end(`${id}.0`);
  await until(() => stateOf(api, id) === 'exited', 'the end');
  for (const offset of [1, 5, 6, 7]) {
    const asked = api.admin.open('POST', `/v1/jobs/${id}/follow`, { from: { 0: offset } });
    await assert.rejects(within(asked, `offset ${offset}`), { code: 'bad_request' }, `offset ${offset}`);
  }
  const past = await events(await api.admin.open('POST', `/v1/jobs/${id}/follow`, { from: { 0: 1e9 } }));
  assert.equal(past.at(-1)?.type, 'done');
  assert.ok(await api.admin.json('GET', '/v1/nodes'));
});

test('a slow reader gets everything, holds nobody up, and leaves no listeners behind', async (t) => {
  const { api, node } = await connected(t);
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.name);
  process.on('warning', onWarning);
  const stream = await api.admin.open('POST', '/v1/jobs', job({ follow: true }));
  await until(() => node.runs.size === 1, 'the hand-over');
  const [id = ''] = node.runs.keys();
  const text = 'x'.repeat(50_000);
  for (let n = 0; n < 40; n += 1) node.write(id, stdoutFrame(text));
  node.end(id);
  await until(() => api.store.runs.byId(id)?.state === 'exited', 'the end, although nobody has read');
  let bytes = 0;
  for (const event of await events(stream)) bytes += event.type === 'stdout' ? event.data.length : 0;
  assert.equal(bytes, 40 * text.length);
  await settle();
  process.off('warning', onWarning);
  assert.deepEqual(warnings, []);
});

test('a reader that goes away ends its stream, and only that', async (t) => {
  const { api, node } = await connected(t);
  const stream = await api.admin.open('POST', '/v1/jobs', job({ follow: true }));
  await once(stream, 'data');
  stream.destroy();
  await until(() => node.runs.size === 1, 'the hand-over');
  const [id = ''] = node.runs.keys();
  await settle();
  node.end(id);
  await until(() => api.store.runs.byId(id)?.state === 'exited', 'the end');
});

test('stdin: only as a stream, only for a job that wants it', async (t) => {
  const { api, node } = await connected(t);
  const without = await api.admin.json<JobView>('POST', '/v1/jobs', job());
  const octets = { headers: { 'content-type': 'application/octet-stream' } };
  const send = (id: string, stream: Readable) =>
    api.admin.json('POST', `/v1/jobs/${id}/stdin`, undefined, { ...octets, stream });
  await assert.rejects(send(without.job, Readable.from(['x'])), { code: 'conflict' });
  const wanting = await api.admin.json<JobView>('POST', '/v1/jobs', job({ stdin: true }));
  await assert.rejects(api.admin.json('POST', `/v1/jobs/${wanting.job}/stdin`, { text: 'x' }), { code: 'bad_request' });
  await assert.rejects(api.admin.json('POST', `/v1/jobs/${wanting.job}/stdin`), { code: 'bad_request' });
  await send(wanting.job, Readable.from([Buffer.from('hello')]));
  assert.equal(node.stdin.get(`${wanting.job}.0`)?.bytes.toString(), 'hello');
});

test('a client that dies while it sends stdin cancels the run', async (t) => {
  const { api, node } = await connected(t);
  const { job: id } = await api.admin.json<JobView>('POST', '/v1/jobs', job({ stdin: true }));
  const controller = new AbortController();
  const stream = new PassThrough();
  const sending = api.admin.json('POST', `/v1/jobs/${id}/stdin`, undefined, {
    headers: { 'content-type': 'application/octet-stream' },
    stream,
    signal: controller.signal,
  });
  const refused = assert.rejects(sending, { code: 'connection_lost' });
  stream.write('half');
  await until(() => node.stdin.get(`${id}.0`)?.bytes.length === 4, 'the first half');
  controller.abort();
  await refused;
  await until(() => stateOf(api, id) === 'canceled', 'the cancel');
  assert.equal(node.stdin.get(`${id}.0`)?.end, 'cut');
});

test('a job shows what holds its output, as long as it goes on', async (t) => {
  const { api, node } = await connected(t);
  const { job: id } = await api.admin.json<JobView>('POST', '/v1/jobs', job());
  await until(() => node.runs.size === 1, 'the hand-over');
  node.write(`${id}.0`, startedFrame(), exitedFrame());
  const shown = async () => (await api.admin.json<JobView>('GET', `/v1/jobs/${id}`)).runs[0];
  await until(async () => (await shown())?.exited !== undefined, 'the exit');
  assert.deepEqual((await shown())?.exited, { exitCode: 0, signal: null, holders: [{ pid: 4711, name: 'sleep' }] });
  node.end(`${id}.0`);
  await until(async () => (await shown())?.state === 'exited', 'the end');
  assert.equal((await shown())?.exited, undefined);
});

test('a broadcast to a selector, without some', async (t) => {
  const { api } = await connected(t);
  await api.addNode('b');
  const target = { selector: '*', exclude: 'a' };
  const view = await api.admin.json<JobView>('POST', '/v1/jobs', job({ target }));
  assert.deepEqual(
    view.runs.map(({ node, state, reason }) => [node, state, reason]),
    [['b', 'expired', 'node_offline']],
  );
  assert.equal(view.target, '* without a');
});

test('a broadcast to all connected nodes names those that it leaves out; any other selector means what it says', async (t) => {
  const { api } = await connected(t);
  for (const name of ['nas', 'old', 'tmp']) await api.addNode(name);
  api.store.nodes.revoke(api.store.nodes.byName('old')?.id ?? '', 1);
  const notTried = async (target: object): Promise<unknown> => {
    const stream = await api.admin.open('POST', '/v1/jobs', job({ target, follow: true }));
    const [chunk] = await once(stream, 'data');
    stream.destroy();
    return JSON.parse(String(chunk).split('\n', 1)[0] ?? '').notTried;
  };
  assert.deepEqual(await notTried({ selector: ALL_CONNECTED }), ['nas', 'tmp']);
  assert.deepEqual(await notTried({ selector: ALL_CONNECTED, exclude: 't*' }), ['nas']);
  assert.deepEqual(await notTried({ selector: 'a' }), undefined);
  assert.deepEqual(await notTried({ node: 'a' }), undefined);
});

test('a broadcast that is submitted again gives its job, whoever is meant by now', async (t) => {
  const { api, node } = await connected(t);
  const body = job({ target: { selector: ALL_CONNECTED }, idempotencyKey: 'once' });
  const first = await api.admin.json<JobView>('POST', '/v1/jobs', body);
  node.cut();
  await until(() => api.sessions.size === 0, 'the end of the session');
  const second = await api.admin.json<JobView>('POST', '/v1/jobs', body);
  assert.equal(second.job, first.job);
  assert.deepEqual(
    second.runs.map((run) => run.node),
    ['a'],
  );
  await assert.rejects(api.admin.json('POST', '/v1/jobs', { ...body, idempotencyKey: 'twice' }), {
    code: 'node_offline',
  });
});

test('what is not kept is passed on live to the one who takes it whole, across a cut, and the node hears that somebody is there', async (t) => {
  const { api, node } = await connected(t);
  const frame = (text: string): Buffer => encodeFrame(FRAME_TYPE.stdout, Buffer.from(text));
  const asked: string[] = [];
  node.script = (_route, _run, request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    if (path.endsWith('/attend')) {
      asked.push('attend');
      response.writeHead(204).end();
      return true;
    }
    if (!path.endsWith('/live')) return false;
    asked.push(query);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    if (query === 'from=10') response.write(frame('abc'), () => setImmediate(() => response.destroy()));
    else response.end(Buffer.concat([frame('de'), encodeFrame(FRAME_TYPE.live, Buffer.alloc(0))]));
    return true;
  };
  const body = job({ follow: true });
  const following = await api.admin.open('POST', '/v1/jobs?whole=true', body);
  const lines = createInterface({ input: following })[Symbol.asyncIterator]();
  const { job: id } = JSON.parse((await lines.next()).value ?? '') as { job: string };
  const run = `${id}.0`;
  await until(() => node.runs.has(run), 'the hand-over');
  node.write(run, startedFrame());
  await until(() => stateOf(api, id) === 'running', 'the start');
  const live = events(await api.admin.open('GET', `/v1/jobs/${id}/live?from=10`));
  await until(async () => {
    await api.clock.advance(1_000);
    return asked.includes('from=13');
  }, 'the second attempt');
  const told = await live;
  assert.deepEqual(
    told.map((event) => ('next' in event ? event.next : event)),
    [13, 15, { type: 'live-end', complete: true }],
  );
  assert.ok(asked.includes('attend'));
  following.destroy();
});

test('output that is not kept ends with the last frame, or after a silence once its run has ended; empty frames are no events', async (t) => {
  const { api, node } = await connected(t);
  const frame = (text: string): Buffer => encodeFrame(FRAME_TYPE.stdout, Buffer.from(text));
  const last = encodeFrame(FRAME_TYPE.live, Buffer.alloc(0));
  let answer: Buffer[] = [];
  let isAsked = false;
  node.script = (_route, _run, request, response) => {
    if (!request.url?.includes('/live')) return false;
    isAsked = true;
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    // Never ended.
    response.write(Buffer.concat(answer));
    return true;
  };
  const body = job({ follow: true });
  const following = await api.admin.open('POST', '/v1/jobs?whole=true', body);
  const lines = createInterface({ input: following })[Symbol.asyncIterator]();
  const { job: id } = JSON.parse((await lines.next()).value ?? '') as { job: string };
  const run = `${id}.0`;
  await until(() => node.runs.has(run), 'the hand-over');
  node.write(run, startedFrame());
  await until(() => stateOf(api, id) === 'running', 'the start');
  const follow = async () => events(await api.admin.open('GET', `/v1/jobs/${id}/live?from=0`));

  answer = [...Array(1000).fill(frame('')), frame('a'), last, frame('b')];
  const [data, end, ...others] = await follow();
  assert.deepEqual([data?.type, end, others], ['stdout', { type: 'live-end', complete: true }, []]);

  answer = [frame('a')];
  isAsked = false;
  const silent = follow();
  await until(() => isAsked, 'the question');
  await api.clock.advance(60_000);
  node.write(run, endFrame());
  await until(() => stateOf(api, id) === 'exited', 'the end');
  let told: JobEvent[] | undefined;
  void silent.then((all) => {
    told = all;
  });
  await until(async () => {
    await api.clock.advance(1_000);
    return told !== undefined;
  }, 'the end of the live output');
  assert.deepEqual(told?.at(-1), { type: 'live-end', complete: false });
  following.destroy();
});

test('who may only look cannot slow a command', async (t) => {
  const { api } = await connected(t);
  const { job: plain } = await api.admin.json<JobView>('POST', '/v1/jobs', job());
  await assert.rejects(api.admin.json('GET', `/v1/jobs/${plain}/live`), { code: 'conflict' });
  const viewer = await testApi(t, {
    authenticator: { identify: async () => ({ role: 'viewer', name: 'v' }) } as unknown as Authenticator,
  });
  await (await viewer.addNode('a')).fake.connect();
  const [record] = viewer.store.nodes.all();
  assert.ok(record);
  const { job: whole } = await viewer.bus.submit({ ...job(), whole: true } as never, [record], 'a', 'somebody');
  const look = viewer.connect({ kind: 'socket' });
  for (const [method, path] of [
    ['POST', `/v1/jobs/${whole.id}/follow?whole=true`],
    ['GET', `/v1/jobs/${whole.id}/live`],
  ] as const) {
    await assert.rejects(look.json(method, path), { code: 'forbidden' });
  }
});

test('what is counted back from a clock that is days off is counted back from that of the gateway', async (t) => {
  const { api } = await connected(t);
  const { job: id } = await api.admin.json<JobView>('POST', '/v1/jobs', job());
  const own = api.clock.now() + 2 * 86_400_000;
  const since = own - 3_600_000;
  const list = async (headers: Record<string, string>) =>
    (await api.admin.json<{ jobs: JobView[] }>('GET', `/v1/jobs?since=${since}`, undefined, { headers })).jobs;
  assert.deepEqual(
    (await list({ 'fleet-time': String(own) })).map((each) => each.job),
    [id],
  );
  assert.deepEqual(await list({}), []);
});
