import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxLogBytes } from '../../../src/domain/limits.ts';
import { encodeFrame, FRAME_TYPE, LOG_CONTENT_TYPE } from '../../../src/protocol/frames.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { settle, until } from '../../support/deadline.ts';
import { endFrame, readJson, refuse, startedFrame, stdoutFrame } from './fake-node.ts';
import { TestBus } from './harness.ts';

test('a run goes to its node once, its log and its end come back, and the node hears that they are stored', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a'], { command: 'echo hi', env: { A: '1' }, cwd: '/tmp', timeoutMs: 5000 });
  const id = `${job}.0`;
  await fleet.untilState(job, 'delivered');
  const spec = node.runs.get(id)?.spec;
  assert.deepEqual(spec, {
    run: id,
    job,
    nodeId: 'id-a',
    node: 'a',
    kind: 'shell',
    command: 'echo hi',
    env: { A: '1' },
    stdin: false,
    maxOutputBytes: 64 * 1024 * 1024,
    cwd: '/tmp',
    timeoutMs: 5000,
  });
  const following = fleet.follow(job);
  node.write(id, startedFrame());
  await fleet.untilState(job, 'running');
  node.write(id, stdoutFrame('hi\n'));
  node.end(id, { exitCode: 3, stdoutBytes: 3 });
  const run = await fleet.untilState(job, 'exited');
  assert.deepEqual([run.exitCode, run.stdoutBytes, run.startedAt, run.endedAt], [3, 3, 1000, 2000]);
  await until(async () => {
    await fleet.clock.advance(200);
    return node.count('acknowledge') > 0;
  }, 'the acknowledgement');
  assert.equal(node.count('accept'), 1);
  const events = (await following).map((event) =>
    event.type === 'state' || event.type === 'end' ? event.state : event.type,
  );
  assert.deepEqual(events.slice(-4), ['running', 'stdout', 'exited', 'done']);
});

test('a hand-over whose answer is lost is repeated byte for byte, and runs once', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const bodies: string[] = [];
  node.script = async (route, run, request, response) => {
    if (route !== 'accept') return false;
    let text = '';
    for await (const chunk of request) text += chunk;
    bodies.push(text);
    node.accept(run, JSON.parse(text));
    if (bodies.length < 3) response.destroy();
    else response.writeHead(201).end(JSON.stringify(node.statusOf(run)));
    return true;
  };
  const job = await fleet.submit(['a'], { env: { B: '2', A: '1' } });
  await fleet.untilState(job, 'delivered');
  assert.equal(new Set(bodies).size, 1);
  assert.equal(bodies.length, 3);
  assert.equal(node.runs.size, 1);
  node.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
});

for (const code of ['forbidden', 'conflict', 'storage_failed', 'bad_request']) {
  test(`a refusal (${code}) of a repeated hand-over is no proof that the first did not arrive`, async (t) => {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    await node.connect();
    node.script = async (route, run, request, response) => {
      if (route !== 'accept') return false;
      if (node.count('accept') > 1) refuse(response, 403, code);
      else {
        let text = '';
        for await (const chunk of request) text += chunk;
        node.accept(run, JSON.parse(text));
        response.destroy();
      }
      return true;
    };
    const job = await fleet.submit(['a']);
    await fleet.untilState(job, 'delivered');
    node.end(`${job}.0`, { exitCode: 7 });
    assert.equal((await fleet.untilState(job, 'exited')).exitCode, 7);
  });
}

test('a refusal of what the node has never seen ends the run, and says why', async (t) => {
  for (const [code, state] of [
    ['forbidden', 'rejected'],
    ['policy_denied', 'rejected'],
    ['bad_request', 'failed_to_start'],
    ['storage_failed', 'failed_to_start'],
  ] as const) {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    await node.connect();
    node.script = (route, _run, _request, response) => {
      if (route === 'accept') refuse(response, 500, code);
      return route === 'accept';
    };
    const job = await fleet.submit(['a']);
    const run = await fleet.untilState(job, state);
    assert.match(run.reason ?? '', new RegExp(`^${code}: `));
    assert.equal(node.count('accept'), 1);
  }
});

test('a refusal after a lost hand-over that never arrived ends the run too', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  node.script = (route, _run, _request, response) => {
    if (route !== 'accept') return false;
    if (node.count('accept') === 1) response.destroy();
    else refuse(response, 403, 'forbidden');
    return true;
  };
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'rejected');
  assert.equal(node.count('status'), 1);
});

test('what may pass by itself is tried again: busy, a defect, a node that is going down', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const codes = ['busy', 'internal', 'not_running', 'timeout'];
  node.script = (route, _run, _request, response) => {
    const code = route === 'accept' ? codes[node.count('accept') - 1] : undefined;
    if (code !== undefined) refuse(response, 503, code);
    return code !== undefined;
  };
  node.endsAtOnce = true;
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'exited');
  assert.equal(node.count('accept'), codes.length + 1);
});

test('a run that its node has refused as busy has not begun: it can expire, and be canceled', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  node.script = (route, _run, _request, response) => {
    if (route === 'accept') refuse(response, 429, 'busy');
    return route === 'accept';
  };
  const [expiring, canceled] = [await fleet.submit(['a'], { expiresMs: 60_000 }), await fleet.submit(['a'])];
  await until(() => node.count('accept') >= 2, 'both to be refused');
  await until(() => fleet.run(canceled).handedOverAt === null, 'the hand-over to be taken back');
  await fleet.cancel(canceled);
  assert.equal((await fleet.untilState(canceled, 'canceled')).deliveredAt, null);
  await fleet.clock.advance(120_000);
  await fleet.untilState(expiring, 'expired');
});

test('an unreadable answer to a hand-over is not taken for a refusal', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  node.script = async (route, run, request, response) => {
    if (route !== 'accept' || node.count('accept') > 1) return false;
    let text = '';
    for await (const chunk of request) text += chunk;
    node.accept(run, JSON.parse(text));
    response.end('{"version":2}');
    return true;
  };
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
});

test('past its deadline a run is not handed over again, unless the node has it', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  node.loseHandOvers();
  const lost = await fleet.submit(['a'], { expiresMs: 60_000 });
  await until(() => node.count('accept', `${lost}.0`) > 0, 'the hand-over that is lost');
  node.script = undefined;
  const arrived = await fleet.submit(['a'], { expiresMs: 60_000 });
  await until(() => node.runs.has(`${arrived}.0`), 'the hand-over that arrives');
  node.cut();
  await settle();
  const handOvers = node.count('accept', `${lost}.0`);
  await fleet.clock.advance(60_001);
  await node.connect();
  assert.match((await fleet.untilState(lost, 'expired')).reason ?? '', /^expired: /);
  assert.equal(node.count('accept', `${lost}.0`), handOvers);
  node.end(`${arrived}.0`);
  await fleet.untilState(arrived, 'exited');
});

test('a hand-over that was noted, and not sent before the node went away, keeps to the deadline, too', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submitAndCut(node, ['a'], { expiresMs: 60_000 });
  assert.notEqual(fleet.run(job).handedOverAt, null);
  await fleet.clock.advance(60_001);
  await node.connect();
  await fleet.untilState(job, 'expired');
  assert.equal(node.count('accept'), 0);
});

test('a node that has lost its journal cannot say what became of a run: unknown, never run again', async (t) => {
  for (const lostWhen of ['hand-over', 'running'] as const) {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    await node.connect();
    node.script = (route, _run, _request, response) => {
      if (route === 'accept' && lostWhen === 'hand-over') response.destroy();
      return route === 'accept' && lostWhen === 'hand-over';
    };
    const job = await fleet.submit(['a']);
    if (lostWhen === 'running') await fleet.untilState(job, 'delivered');
    else await until(() => node.count('accept') > 0, 'the hand-over');
    node.cut();
    node.script = undefined;
    node.runs.clear();
    node.journal = 'journal-2';
    const before = node.count('accept');
    await node.connect();
    const run = await fleet.untilState(job, 'unknown');
    assert.match(run.reason ?? '', /^node_lost_journal/);
    assert.equal(node.count('accept'), before);
  }
});

test('a node with its journal that no longer knows a delivered run makes it unknown', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.cut();
  node.runs.clear();
  await node.connect();
  assert.match((await fleet.untilState(job, 'unknown')).reason ?? '', /^node_lost_run/);
});

test('the log goes on after every cut from the byte that is stored, none twice, none missing', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  const id = `${job}.0`;
  await fleet.untilState(job, 'delivered');
  const following = fleet.follow(job);
  node.write(id, startedFrame());
  let text = '';
  for (let n = 0; n < 8; n += 1) {
    text += `line ${n}\n`;
    node.write(id, stdoutFrame(`line ${n}\n`));
    const stored = async (): Promise<boolean> => {
      await fleet.clock.advance(200);
      return fleet.run(job).stdoutBytes === text.length;
    };
    if (n % 2 === 0) await until(stored, 'stored output');
    if (n % 3 === 0) node.cutChannels();
    else {
      node.cut();
      await node.connect();
    }
    await fleet.clock.advance(10_000);
  }
  node.end(id);
  await fleet.untilState(job, 'exited');
  const out = (await following).map((event) => (event.type === 'stdout' ? event.data : '')).join('');
  assert.equal(out, text);
  assert.equal(node.count('accept'), 1);
});

test('a new tunnel of the same node takes over at once, without an end of the old one', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  await node.connect();
  node.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
  assert.equal(fleet.sessions.size, 1);
});

for (const [name, lost] of [
  ['is shorter than what is stored', 2],
  ['ends exactly where the stored one does', 0],
  ['has other frames at the stored offset', -1],
] as const) {
  test(`after a power cut the log of the node ${name}: its journal still tells the end`, async (t) => {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    await node.connect();
    const job = await fleet.submit(['a']);
    const id = `${job}.0`;
    await fleet.untilState(job, 'delivered');
    node.write(id, startedFrame(), stdoutFrame('x'.repeat(400)));
    await until(() => fleet.run(job).stdoutBytes === 400, 'stored output');
    node.cut();
    const entry = node.runs.get(id);
    assert.ok(entry);
    const outcome = { state: 'unknown', exitCode: null, reason: 'node_restarted: power cut' } as const;
    const end = endFrame(outcome);
    // What the disk had kept, then the end: together less, as much, or more than the gateway has.
    const target = fleet.run(job).logBytes - lost * 50 + (lost < 0 ? 30 : 0);
    entry.log = Buffer.alloc(target - end.length, 0xff);
    node.end(id, outcome);
    await node.connect();
    const run = await fleet.untilState(job, 'unknown');
    assert.match(run.reason ?? '', /^node_restarted/);
    assert.equal(run.stdoutBytes, 0);
  });
}

test('garbage in a log does not end a run that has not ended; it is looked at again', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  let garbage = 4;
  node.script = async (route, run, request, response) => {
    if ((route !== 'accept' && route !== 'log') || garbage === 0) return false;
    garbage -= 1;
    if (route === 'accept') node.accept(run, await readJson(request));
    response.writeHead(200, { 'content-type': LOG_CONTENT_TYPE }).end(Buffer.from([99, 0, 0, 0, 1, 1]));
    return true;
  };
  const job = await fleet.submit(['a']);
  await until(async () => {
    await fleet.clock.advance(200);
    return garbage === 0;
  }, 'four looks');
  assert.equal(fleet.run(job).state, 'delivered');
  assert.equal(node.count('accept'), 1);
  node.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
});

test('acknowledgements that were lost are repeated when the node is back, for ended runs only', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  node.script = (route, _run, _request, response) => {
    if (route === 'acknowledge') response.destroy();
    return route === 'acknowledge';
  };
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
  await until(async () => {
    await fleet.clock.advance(200);
    return node.count('acknowledge') > 0;
  }, 'the first acknowledgement');
  await settle();
  node.script = undefined;
  node.cut();
  node.requests.length = 0;
  await node.connect();
  await until(() => node.count('acknowledge', `${job}.0`) === 1, 'the acknowledgement');
});

test('acknowledgements that a connected node could not take are repeated', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  let refused = 0;
  node.script = (route, _run, _request, response) => {
    if (route !== 'acknowledge' || refused === 2) return false;
    refused += 1;
    response.writeHead(507).end(JSON.stringify({ error: { code: 'storage_failed', message: 'the disk is full' } }));
    return true;
  };
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
  await until(async () => {
    await fleet.clock.advance(5000);
    return node.count('acknowledge', `${job}.0`) === 3;
  }, 'the third acknowledgement');
  assert.equal(refused, 2);
});

test('a full disk of the gateway in the middle loses nothing', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  const id = `${job}.0`;
  await fleet.untilState(job, 'delivered');
  let failures = 3;
  const failing = (write: typeof fleet.store.write): typeof fleet.store.write =>
    ((work: () => unknown) => {
      if (failures === 0) return write(work);
      failures -= 1;
      return write(() => {
        work();
        throw new Error('the disk is full');
      });
    }) as typeof fleet.store.write;
  fleet.store.write = failing(fleet.store.write.bind(fleet.store));
  fleet.store.writeSoon = failing(fleet.store.writeSoon.bind(fleet.store));
  node.write(id, startedFrame(), stdoutFrame('kept'));
  node.end(id);
  const run = await fleet.untilState(job, 'exited');
  assert.equal(failures, 0);
  assert.equal(run.logBytes, node.runs.get(id)?.log.length);
});

test('a node that sends more than it may: the run is unknown, its disk is safe, and the node is told to end it', async (t) => {
  const fleet = new TestBus(t, { maxOutputBytes: 2000 });
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  const id = `${job}.0`;
  await fleet.untilState(job, 'delivered');
  assert.equal(node.runs.get(id)?.spec.maxOutputBytes, 2000);
  node.write(id, startedFrame(), stdoutFrame('x'.repeat(2000)));
  await fleet.untilState(job, 'running');
  for (let part = 0; part < 4; part += 1) node.write(id, stdoutFrame('x'.repeat(200_000)));
  const run = await fleet.untilState(job, 'unknown');
  assert.match(run.reason ?? '', /^node_sent_too_much: /);
  assert.ok(run.logBytes <= maxLogBytes(2000), `${run.logBytes} bytes are stored`);
  await until(() => node.count('cancel') === 1, 'the cancel');
  assert.equal(node.count('accept'), 1);
});

test('a gap in the output is an event of its own, in its place, and one goes on behind it', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  const id = `${job}.0`;
  await fleet.untilState(job, 'delivered');
  const gap = encodeFrame(FRAME_TYPE.gap, Buffer.from('{"stdoutBytes":7,"stderrBytes":1}'));
  node.write(id, startedFrame(), stdoutFrame('head'), gap, stdoutFrame('tail'));
  node.end(id, { stdoutBytes: 15, stderrBytes: 1, droppedBytes: 8 });
  await fleet.untilState(job, 'exited');
  const events = await fleet.follow(job);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['job', 'stdout', 'gap', 'stdout', 'end', 'done'],
  );
  const event = events[2];
  assert.ok(event?.type === 'gap');
  const { next, ...rest } = event;
  assert.deepEqual(rest, { type: 'gap', run: id, index: 0, node: 'a', stdoutBytes: 7, stderrBytes: 1 });
  const later = await fleet.follow(job, { 0: next });
  assert.deepEqual(
    later.map(({ type }) => type),
    ['job', 'stdout', 'end', 'done'],
  );
  assert.ok(later[2]?.type === 'end' && later[2].truncated);
});

test('a log of which something was stored before the delivery could not be is not stored twice', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const writeSoon = fleet.store.writeSoon.bind(fleet.store);
  const delivery = Promise.withResolvers<never>();
  fleet.store.writeSoon = () => {
    fleet.store.writeSoon = writeSoon;
    return delivery.promise;
  };
  const job = await fleet.submit(['a']);
  await until(() => node.runs.has(`${job}.0`), 'the hand-over');
  node.write(`${job}.0`, startedFrame(), stdoutFrame('once'));
  await until(() => fleet.run(job).logBytes > 0, 'stored output');
  delivery.reject(new FleetError('storage_failed', 'a disk that refuses one write'));
  node.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
  assert.deepEqual(fleet.store.runs.readLog(fleet.run(job).seq, 0, 100), node.runs.get(`${job}.0`)?.log);
});
