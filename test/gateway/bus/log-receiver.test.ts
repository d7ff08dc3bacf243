import assert from 'node:assert/strict';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { LogTooLong, receiveLog } from '../../../src/gateway/bus/log-receiver.ts';
import { Store } from '../../../src/gateway/store.ts';
import { encodeFrame, FRAME_TYPE } from '../../../src/protocol/frames.ts';
import { settle, until, within } from '../../support/deadline.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';
import { endFrame, startedFrame, stdoutFrame } from './fake-node.ts';

function openStore(t: TestContext): Store {
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  return store;
}

const maxLogBytes = 64 * 1024 * 1024;

let lastJob = 0;

/** A run that its node has. */
function deliveredRun(store: Store) {
  lastJob += 1;
  const jobId = String(lastJob).padStart(12, '0');
  const id = `${jobId}.0`;
  const { seq: jobSeq } = store.jobs.insert({
    id: jobId,
    kind: 'shell',
    command: 'c',
    options: {},
    target: 't',
    createdAt: 1,
    createdBy: 'x',
    idempotencyKey: null,
  });
  store.runs.insert({ jobSeq, jobId, index: 0, nodeId: 'n', nodeName: 'n', queuedAt: 1, expiresAt: null });
  store.runs.move(id, 'delivered');
  const fresh = () => {
    const run = store.runs.byId(id);
    assert.ok(run);
    return run;
  };
  const log = (): Buffer => {
    const pieces: Buffer[] = [];
    for (let offset = 0; ; offset += pieces.at(-1)?.length ?? 0) {
      const piece = store.runs.readLog(fresh().seq, offset);
      if (piece.length === 0) return Buffer.concat(pieces);
      pieces.push(piece);
    }
  };
  return { fresh, log };
}

test('cut at any byte, and gone on from the stored offset each time, the log arrives whole', async (t) => {
  const store = openStore(t);
  const frames = [
    startedFrame(),
    stdoutFrame('one'),
    encodeFrame(FRAME_TYPE.gap, Buffer.from('{"stdoutBytes":7,"stderrBytes":0}')),
    encodeFrame(FRAME_TYPE.stderr, Buffer.from('two')),
    stdoutFrame(''),
    endFrame({ stdoutBytes: 3, stderrBytes: 3 }),
  ];
  const whole = Buffer.concat(frames);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: whole.length }), { maxLength: 6 }),
      fc.integer({ min: 1, max: 40 }),
      async (cuts, chunk) => {
        const { fresh, log } = deliveredRun(store);
        for (const cut of [...cuts, Number.POSITIVE_INFINITY]) {
          const run = fresh();
          if (run.state === 'exited') break;
          const bytes = whole.subarray(run.logBytes).subarray(0, cut);
          const pieces = [...Array(Math.ceil(bytes.length / chunk))].map((_, n) =>
            bytes.subarray(n * chunk, (n + 1) * chunk),
          );
          const receiving = receiveLog(Readable.from(pieces, { objectMode: false }), {
            store,
            run,
            maxLogBytes,
            onStored: () => {},
          });
          await receiving.catch((error: { code: string }) => assert.equal(error.code, 'connection_lost'));
        }
        assert.equal(fresh().state, 'exited');
        assert.deepEqual(log(), whole);
        assert.deepEqual([fresh().stdoutBytes, fresh().stderrBytes, fresh().startedAt], [3, 3, 1000]);
      },
    ),
    { numRuns: 40 },
  );
});

test('the end does not wait for the commit of what came before, and takes it along', async (t) => {
  const store = openStore(t);
  const { fresh, log } = deliveredRun(store);
  const stream = new PassThrough();
  const write = store.write.bind(store);
  const waiting: (() => void)[] = [];
  // As if nothing but a durable write ever set off a commit.
  store.writeSoon = <T>(work: () => T) => new Promise<T>((resolve) => waiting.push(() => resolve(work())));
  store.write = ((work: () => unknown) =>
    write(() => {
      for (const before of waiting.splice(0)) before();
      return work();
    })) as typeof store.write;
  const receiving = receiveLog(stream, { store, run: fresh(), maxLogBytes, onStored: () => {} });
  const pieces = [Buffer.concat([startedFrame(), stdoutFrame('x')]), endFrame({ stdoutBytes: 1 })];
  for (const piece of pieces) {
    stream.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await within(receiving, 'the outcome')).state, 'exited');
  assert.deepEqual([fresh().state, log()], ['exited', Buffer.concat(pieces)]);
});

test('whole frames before the cut are kept, counted, and told', async (t) => {
  const store = openStore(t);
  const { fresh, log } = deliveredRun(store);
  const told: number[] = [];
  const bytes = Buffer.concat([startedFrame(), stdoutFrame('kept'), stdoutFrame('lost').subarray(0, 6)]);
  const receiving = receiveLog(Readable.from([bytes]), {
    store,
    run: fresh(),
    maxLogBytes,
    onStored: () => told.push(1),
  });
  await assert.rejects(receiving, { code: 'connection_lost' });
  assert.deepEqual([fresh().state, fresh().stdoutBytes, told.length > 0], ['running', 4, true]);
  assert.equal(log().length, fresh().logBytes);
});

test('garbage, an end that cannot be read and a hostile time are refused, and store nothing', async (t) => {
  const store = openStore(t);
  const json = (type: 3 | 4, value: unknown) => encodeFrame(type, Buffer.from(JSON.stringify(value)));
  const wrong = [
    Buffer.from('HTTP/1.1 200 OK'),
    encodeFrame(FRAME_TYPE.end, Buffer.from('{')),
    encodeFrame(FRAME_TYPE.gap, Buffer.from('{"stdoutBytes":1}')),
    encodeFrame(FRAME_TYPE.gap, Buffer.from('{"stdoutBytes":1,"stderrBytes":-1}')),
    json(FRAME_TYPE.end, { state: 'running' }),
    json(FRAME_TYPE.started, { startedAt: 1e300, pid: 1 }),
    endFrame({ endedAt: 1e18 }),
    endFrame({ stdoutBytes: -1 }),
    endFrame({ state: 'expired' as never }),
  ];
  for (const bytes of wrong) {
    const { fresh } = deliveredRun(store);
    const receiving = receiveLog(Readable.from([bytes]), { store, run: fresh(), maxLogBytes, onStored: () => {} });
    await assert.rejects(receiving, { code: 'protocol_unsupported' });
    assert.deepEqual([fresh().state, fresh().logBytes], ['delivered', 0]);
  }
});

test('a stream that breaks is told as such; what follows the end is of no interest', async (t) => {
  const store = openStore(t);
  const broken = deliveredRun(store);
  const stream = new PassThrough();
  const receiving = receiveLog(stream, { store, run: broken.fresh(), maxLogBytes, onStored: () => {} });
  stream.write(stdoutFrame('x'));
  await until(() => broken.fresh().stdoutBytes === 1, 'stored output');
  stream.destroy(new Error('reset'));
  await assert.rejects(within(receiving, 'the broken stream'), { code: 'connection_lost', message: /reset/ });

  const ended = deliveredRun(store);
  const chatty = new PassThrough();
  const outcome = receiveLog(chatty, { store, run: ended.fresh(), maxLogBytes, onStored: () => {} });
  chatty.write(endFrame({ state: 'signaled', exitCode: null, signal: 'SIGSEGV', droppedBytes: 5 }));
  assert.equal((await within(outcome, 'the end')).signal, 'SIGSEGV');
  chatty.write(Buffer.alloc(2 * 1024 * 1024));
  chatty.end();
  await within(new Promise((resolve) => chatty.once('end', resolve)), 'the rest is drained');
  assert.deepEqual([ended.fresh().state, ended.fresh().droppedBytes], ['signaled', 5]);
});

test('a stream that had ended before anybody listened is not waited for', async (t) => {
  const store = openStore(t);
  const { fresh } = deliveredRun(store);
  const stream = Readable.from([]);
  await assert.rejects(
    within(receiveLog(stream, { store, run: fresh(), maxLogBytes, onStored: () => {} }), 'an empty log'),
    {
      code: 'connection_lost',
    },
  );
});

test('while the disk is slow, the sender is held up instead of the memory filled', async (t) => {
  const store = openStore(t);
  const { fresh } = deliveredRun(store);
  const write = store.writeSoon.bind(store);
  const gate = Promise.withResolvers<void>();
  store.writeSoon = (async (work: () => unknown) => {
    await gate.promise;
    return await write(work);
  }) as typeof store.writeSoon;
  let sent = 0;
  const frame = stdoutFrame('x'.repeat(64 * 1024));
  const sender = new Readable({
    read() {
      sent += 1;
      this.push(sent <= 200 ? frame : null);
    },
  });
  const receiving = receiveLog(sender, { store, run: fresh(), maxLogBytes, onStored: () => {} });
  const refused = assert.rejects(receiving, { code: 'connection_lost' });
  await settle(200);
  assert.ok(sent < 40, `${sent} frames of 64 KiB were taken`);
  gate.resolve();
  await refused;
  assert.equal(fresh().stdoutBytes, 200 * 64 * 1024);
});

test('a node that sends more than it may is not read any further, and no byte of that is stored', async (t) => {
  const store = openStore(t);
  const { fresh } = deliveredRun(store);
  const frame = stdoutFrame('x'.repeat(1000));
  let sent = 0;
  const endless = new Readable({
    read() {
      sent += 1;
      this.push(frame);
    },
  });
  const receiving = receiveLog(endless, { store, run: fresh(), maxLogBytes: 10 * frame.length, onStored: () => {} });
  await assert.rejects(within(receiving, 'the refusal'), LogTooLong);
  assert.ok(fresh().logBytes <= 10 * frame.length);
  const before = sent;
  await settle(20);
  assert.deepEqual([endless.destroyed, sent], [true, before]);

  const exact = deliveredRun(store);
  const whole = Buffer.concat([stdoutFrame('kept'), endFrame()]);
  const options = { store, run: exact.fresh(), maxLogBytes: whole.length, onStored: () => {} };
  assert.equal((await receiveLog(Readable.from([whole]), options)).state, 'exited');
});
