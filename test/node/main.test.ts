import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startNode } from '../../src/node/main.ts';
import { nodePaths } from '../../src/shared/home.ts';
import { tempFolder } from '../support/temp-folder.ts';

test('a node that is stopped before it starts does not wait for its gateway', { timeout: 60_000 }, async (t) => {
  const home = path.join(tempFolder(t), 'h');
  const start = startNode({
    home,
    configFile: undefined,
    // Nobody listens there.
    flags: { gateway: '127.0.0.1:1', name: 'n' },
    console: undefined,
    onCrash: () => {},
    onPending: () => {},
    onBegun: () => {},
    signal: AbortSignal.abort(),
  });
  await assert.rejects(start, { code: 'not_running' });
  assert.equal(existsSync(nodePaths(home, 'n').socket), false);
});

test('a node that cannot read its key starts neither a shim nor the runs of a former process', async (t) => {
  const home = path.join(tempFolder(t), 'h');
  const paths = nodePaths(home, 'n');
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  writeFileSync(paths.key, 'damaged', { mode: 0o600 });
  const start = startNode({
    home,
    configFile: undefined,
    // Nobody listens there.
    flags: { gateway: '127.0.0.1:1', name: 'n' },
    console: undefined,
    onCrash: () => {},
    onPending: () => {},
    onBegun: () => {},
    signal: new AbortController().signal,
  });
  await assert.rejects(start, { code: 'config_invalid' });
  assert.equal(existsSync(paths.spool), false);
});
