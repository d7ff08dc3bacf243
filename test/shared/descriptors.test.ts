import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import {
  affordableConnections,
  descriptorLimit,
  requireDescriptors,
  watchDescriptors,
} from '../../src/shared/descriptors.ts';
import { FleetError, toFleetError } from '../../src/shared/errors.ts';
import { FakeClock } from '../support/fake-clock.ts';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: too many open files, open '/x'`), { code });
}

test('too few are refused with what to do; how many there are is read', () => {
  assert.throws(() => requireDescriptors('a gateway', 63), {
    code: 'config_invalid',
    message: 'a gateway needs at least 64 open files, but the limit is 63',
    hint: /ulimit -n \d+.*LimitNOFILE=\d+/,
  });
  requireDescriptors('a gateway', 64);
  requireDescriptors('a gateway', Number.POSITIVE_INFINITY);
  if (process.platform !== 'linux') return;
  const file = path.join(import.meta.dirname, '../../src/shared/descriptors.ts');
  const script = `import(${JSON.stringify(file)}).then((m) => console.log(m.descriptorLimit()))`;
  const limit = execFileSync('sh', ['-c', `ulimit -n 200; exec "$0" -e '${script}'`, process.execPath]);
  assert.equal(limit.toString(), '200\n');
  assert.ok(descriptorLimit() > 0);
});

test('no more connections than there are descriptors for; a warning when it matters', () => {
  const warnings: unknown[] = [];
  const logger = { warn: (facts: object) => void warnings.push(facts) };
  const [usual, few] = [20_000, 1_000];
  assert.equal(affordableConnections(usual, usual, logger, 1_000_000), usual);
  assert.equal(affordableConnections(usual, usual, logger, Number.POSITIVE_INFINITY), usual);
  assert.equal(affordableConnections(usual, usual, logger, 10_000), 10_000 - 64, 'more than most need');
  assert.equal(warnings.length, 0);
  assert.equal(affordableConnections(usual, usual, logger, few), few - 64);
  assert.equal(affordableConnections(30_000, usual, logger, 20_000), 20_000 - 64);
  assert.equal(warnings.length, 2);
  assert.match(JSON.stringify(warnings[1]), /LimitNOFILE=30064/);
});

test('the end of the descriptors is a fault and one line in the log, and so is the end of that', async () => {
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = (_: unknown, message: string): void => void lines.push(message);
  let code: string | undefined;
  const probe = (): void => {
    if (code !== undefined) throw systemError(code);
  };
  const watch = watchDescriptors({ clock, logger: { error: log, warn: log } as never, probe });
  watch.start();
  await clock.advance(20_000);
  assert.deepEqual([watch.faults, lines], [[], []]);
  for (const [next, expected] of [
    ['EMFILE', /EMFILE.*ulimit/],
    ['ENFILE', /ENFILE.*fs\.file-max/],
  ] as const) {
    code = next;
    await clock.advance(20_000);
    assert.match(watch.faults.join(), expected);
    assert.deepEqual(lines.splice(0), ['no file descriptors are left']);
    code = undefined;
    await clock.advance(5_000);
    assert.deepEqual([watch.faults, lines.splice(0)], [[], ['there are file descriptors again']]);
  }
  await watch.close();
  assert.equal(clock.pendingTimers, 0);
});

test('whatever failed for the lack of one says so, and may pass', () => {
  for (const [code, hint] of [
    ['EMFILE', /LimitNOFILE/],
    ['ENFILE', /fs\.file-max/],
  ] as const) {
    const plain = toFleetError(systemError(code));
    assert.deepEqual([plain.code, plain.retryable], ['busy', true]);
    assert.match(plain.hint ?? '', hint);
    const wrapped = new FleetError('storage_failed', 'cannot write x', {
      hint: 'Check the free space.',
      cause: new Error('spawn failed', { cause: systemError(code) }),
    });
    assert.equal(wrapped.code, 'storage_failed');
    assert.match(wrapped.hint ?? '', hint);
  }
});
