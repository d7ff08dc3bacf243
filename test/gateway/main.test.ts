import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startGateway } from '../../src/gateway/main.ts';
import { gatewayPaths } from '../../src/shared/home.ts';
import { within } from '../support/deadline.ts';
import { tempFolder } from '../support/temp-folder.ts';

function start(home: string, signal: AbortSignal) {
  return startGateway({
    home,
    configFile: undefined,
    flags: { listen: '127.0.0.1:0' },
    console: undefined,
    onCrash: () => {},
    signal,
  });
}

test('a gateway that is asked to end while it starts ends, at whatever moment that is, and can be started again', {
  timeout: 110_000,
}, async (t) => {
  const home = path.join(tempFolder(t), 'h');
  await assert.rejects(start(home, AbortSignal.abort()), { code: 'not_running' });
  for (let turns = 0; turns < 30; turns += 1) {
    const abort = new AbortController();
    const ended = start(home, abort.signal).then(
      (gateway) => gateway.close(),
      (error: { code?: string }) => assert.equal(error.code, 'not_running', String(error)),
    );
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    abort.abort();
    await within(ended, `the end after ${turns} turns`);
    assert.equal(existsSync(gatewayPaths(home).socket), false, `${turns} turns`);
  }
  const gateway = await start(home, new AbortController().signal);
  await gateway.close();
});

test('a start that fails leaves neither lock nor listener behind', async (t) => {
  const home = path.join(tempFolder(t), 'h');
  const { signal } = new AbortController();
  await (await start(home, signal)).close();
  writeFileSync(gatewayPaths(home).database, 'no database '.repeat(1000));
  for (let n = 0; n < 2; n += 1) await assert.rejects(start(home, signal), { code: 'storage_corrupt' });
});
