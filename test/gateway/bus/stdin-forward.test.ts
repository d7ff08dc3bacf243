import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { settle, until, within } from '../../support/deadline.ts';
import { refuse } from './fake-node.ts';
import { TestBus } from './harness.ts';

async function withStdin(fleet: TestBus) {
  const job = await fleet.submit(['a'], { stdin: true, expiresMs: 3_600_000 });
  const stream = new PassThrough();
  return { job, id: `${job}.0`, stream, forwarding: fleet.bus.forwardStdin(fleet.run(job), stream) };
}

test('all of it arrives, also what came before the command began', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  const { id, job, stream, forwarding } = await withStdin(fleet);
  stream.write('before ');
  await settle();
  await node.connect();
  await fleet.untilState(job, 'delivered');
  stream.write('after');
  stream.end();
  await within(forwarding, 'the stdin');
  assert.deepEqual(node.stdin.get(id), { bytes: Buffer.from('before after'), end: 'whole' });
  assert.equal(fleet.run(job).state, 'delivered');
});

test('cut off before the command began: it never does', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  const { job, stream, forwarding } = await withStdin(fleet);
  stream.write('half');
  await settle();
  stream.destroy();
  await within(forwarding, 'the cut');
  assert.deepEqual(
    [fleet.run(job).state, fleet.run(job).reason],
    ['canceled', 'stdin_lost: it was cut off before the command began'],
  );
  await node.connect();
  await settle();
  assert.equal(node.count('accept'), 0);
});

test('cut off before anybody listened, while it waits or after the delivery: the run is canceled, not fed for ever', async (t) => {
  for (const delivered of [false, true]) {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    if (delivered) await node.connect();
    const job = await fleet.submit(['a'], { stdin: true, expiresMs: 3_600_000 });
    if (delivered) await fleet.untilState(job, 'delivered');
    const stream = new PassThrough();
    stream.destroy();
    await new Promise((resolve) => stream.once('close', resolve));
    await within(fleet.bus.forwardStdin(fleet.run(job), stream), 'the forwarding');
    await fleet.untilState(job, 'canceled');
    assert.equal(node.count('stdin'), 0);
  }
});

test('cut off in the middle: the node sees a cut, never an end, and the run is canceled', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const { id, job, stream, forwarding } = await withStdin(fleet);
  await fleet.untilState(job, 'delivered');
  stream.write('half');
  await until(() => node.stdin.get(id)?.bytes.length === 4, 'the first half');
  stream.destroy();
  await within(forwarding, 'the cut');
  await until(() => node.stdin.get(id)?.end !== 'open', 'the end of the stdin');
  assert.equal(node.stdin.get(id)?.end, 'cut');
  await fleet.untilState(job, 'canceled');
});

test('the node goes away in the middle: the run is to be canceled when it is back', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const { id, job, stream, forwarding } = await withStdin(fleet);
  await fleet.untilState(job, 'delivered');
  stream.write('half');
  await until(() => node.stdin.get(id)?.bytes.length === 4, 'the first half');
  node.cut();
  await within(forwarding, 'the lost node');
  assert.match(fleet.run(job).cancelReason ?? '', /^stdin_lost/);
  await node.connect();
  await fleet.untilState(job, 'canceled');
});

test('a run that ends without reading everything is not canceled, and the rest is drained', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const { id, job, stream, forwarding } = await withStdin(fleet);
  await fleet.untilState(job, 'delivered');
  stream.write('some');
  await until(() => node.stdin.get(id)?.bytes.length === 4, 'some of it');
  node.end(id, { exitCode: 3 });
  await fleet.untilState(job, 'exited');
  await within(forwarding, 'the forwarding');
  stream.end(Buffer.alloc(1024 * 1024));
  await within(new Promise((resolve) => stream.once('end', resolve)), 'the drain');
  assert.deepEqual([fleet.run(job).exitCode, fleet.run(job).cancelReason], [3, null]);
});

for (const [name, status] of [
  ['takes no more (the command closed its stdin)', 204],
  ['refuses', 409],
] as const) {
  test(`a node that ${name} before all has come leaves no channel behind`, async (t) => {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    const session = await node.connect();
    let closed = false;
    node.script = (route, _run, request, response) => {
      if (route !== 'stdin') return false;
      request.socket.once('close', () => {
        closed = true;
      });
      if (status === 204) response.writeHead(204).end();
      else refuse(response, 409, 'conflict');
      return true;
    };
    const { job, stream, forwarding } = await withStdin(fleet);
    await fleet.untilState(job, 'delivered');
    stream.write('more will follow');
    await within(forwarding, 'the forwarding');
    await until(() => closed, 'the channel of the refused stdin');
    if (status === 409) await fleet.untilState(job, 'canceled');
    else assert.equal(fleet.run(job).cancelReason, null);
    assert.equal(session.ended, false);
  });
}

test('a run that is over before its stdin came wants none', async (t) => {
  const fleet = new TestBus(t);
  await fleet.addNode('a');
  const { job, stream, forwarding } = await withStdin(fleet);
  await fleet.cancel(job);
  await within(forwarding, 'the forwarding');
  stream.end('too late');
  await within(new Promise((resolve) => stream.once('end', resolve)), 'the drain');
});
