import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { DEADLINE_MS, makeSpec, readWhole, startRunner, temporaryFolder, until } from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

test('5 MB of stdin arrive as they were sent', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('sha256sum', { stdin: true });
  const data = randomBytes(5_000_000);
  runner.accept(spec);
  await pipeline(
    Readable.from([data.subarray(0, 1), data.subarray(1, 70_000), data.subarray(70_000)]),
    runner.stdin(spec.run),
  );
  const { stdout, outcome } = await readWhole(runner, spec.run);
  assert.equal(stdout.toString(), `${sha256(data)}  -\n`);
  assert.equal(outcome.exitCode, 0);
});

test('an empty stdin ends at once, and a run without stdin has an empty one', timeout, async (t) => {
  const runner = await startRunner(t);
  const [withStdin, without] = [makeSpec('wc -c', { stdin: true }), makeSpec('wc -c')];
  runner.accept(withStdin);
  runner.accept(without);
  assert.throws(() => runner.stdin(without.run), { code: 'bad_request' });
  runner.stdin(withStdin.run).end();
  assert.equal((await readWhole(runner, withStdin.run)).stdout.toString(), '0\n');
  assert.equal((await readWhole(runner, without.run)).stdout.toString(), '0\n');
  assert.throws(() => runner.stdin(withStdin.run), { code: 'conflict' });
  assert.throws(() => runner.stdin('000000000000.0'), { code: 'not_found' });
});

test('there is one writer only', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('cat', { stdin: true });
  runner.accept(spec);
  const stdin = runner.stdin(spec.run);
  assert.throws(() => runner.stdin(spec.run), { code: 'conflict' });
  stdin.end('mine');
  assert.equal((await readWhole(runner, spec.run)).stdout.toString(), 'mine');
});

test('a sender that breaks off cancels the run, and the command never sees an end', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  for (const fault of [undefined, new Error('reset')]) {
    const effect = join(folder, `effect-${fault === undefined}`);
    // TERM is ignored, so that there is time to see an end of file if there were one.
    const spec = makeSpec(`trap '' TERM; cat > ${effect}; echo complete >> ${effect}`, { stdin: true });
    runner.accept(spec);
    const stdin = runner.stdin(spec.run);
    stdin.write('part');
    await until(async () => (await readFile(effect, 'utf8').catch(() => '')) === 'part', 'the first part');
    stdin.destroy(fault);
    const { outcome } = await readWhole(runner, spec.run);
    assert.equal(outcome.state, 'canceled');
    assert.match(outcome.reason ?? '', /^stdin_lost: /);
    assert.equal(await readFile(effect, 'utf8'), 'part');
  }
});

test('a sender that breaks off before the start keeps the command from starting', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(`touch ${folder}/effect`, { stdin: true });
  runner.accept(spec);
  runner.stdin(spec.run).destroy();
  const { outcome } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'canceled');
  assert.match(outcome.reason ?? '', /^stdin_lost: /);
  assert.equal(outcome.startedAt, null);
  await assert.rejects(readFile(`${folder}/effect`), { code: 'ENOENT' });
});

test('what the command does not want to read is dropped, and no fault', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('head -c 3; exit 7', { stdin: true });
  runner.accept(spec);
  await pipeline(Readable.from([Buffer.from('abcdef'), Buffer.alloc(3_000_000)]), runner.stdin(spec.run));
  const { stdout, outcome } = await readWhole(runner, spec.run);
  assert.equal(stdout.toString(), 'abc');
  assert.equal(outcome.state, 'exited');
  assert.equal(outcome.exitCode, 7);
});

test('a command that never starts takes its stdin all the same', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('cat', { stdin: true, user: 'nobody-of-that-name' });
  runner.accept(spec);
  await pipeline(Readable.from([Buffer.alloc(1_000_000)]), runner.stdin(spec.run));
  assert.equal((await readWhole(runner, spec.run)).outcome.state, 'failed_to_start');
});

test('closing the runner cancels a command whose stdin is not complete, before its stdin ends', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { folder });
  const spec = makeSpec(`cat > ${folder}/effect; echo complete >> ${folder}/effect`, { stdin: true });
  runner.accept(spec);
  runner.stdin(spec.run).write('part');
  await until(async () => (await readFile(`${folder}/effect`, 'utf8').catch(() => '')) === 'part', 'the first part');
  await runner.close();
  assert.equal(await readFile(`${folder}/effect`, 'utf8'), 'part');
  const next = await startRunner(t, { folder });
  assert.match(next.status(spec.run)?.outcome?.reason ?? '', /^stdin_lost: /);
});
