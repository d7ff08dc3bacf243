import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { coalesceWrites } from '../../../../src/shared/ssh/patches/flow-control.ts';
import type { Ssh2Connection } from '../../../../src/shared/ssh/patches/internals.ts';

test('what is written in one tick leaves in one piece', async () => {
  const happened: string[] = [];
  const protocol = { _onWrite: (data: Uint8Array) => void happened.push(String(data)) };
  const socket = { cork: () => void happened.push('cork'), uncork: () => void happened.push('uncork') };
  coalesceWrites({ _protocol: protocol, _sock: socket } as unknown as Ssh2Connection);
  for (const text of ['a', 'b']) protocol._onWrite(Buffer.from(text));
  await setImmediate();
  protocol._onWrite(Buffer.from('c'));
  await setImmediate();
  assert.deepEqual(happened, ['cork', 'a', 'b', 'uncork', 'cork', 'c', 'uncork']);
});
