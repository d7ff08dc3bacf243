import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import '../../../../src/shared/ssh/patches/ssh2.ts';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '../../../..');

test('no native module is loaded whose destructor would abort the process', () => {
  const loaded = Object.keys(require.cache).filter((file) => file.endsWith('sshcrypto.node'));
  for (const file of loaded) {
    const isDeadly = readFileSync(file).includes('RemoveEnvironmentCleanupHook');
    assert.equal(require.cache[file]?.exports === undefined, isDeadly);
    assert.equal(require('ssh2/lib/protocol/crypto.js').bindingAvailable, !isDeadly);
  }
});

test('only ssh2.ts imports the code of ssh2, so that nothing can come before it', () => {
  const files = globSync('{src,test}/**/*.ts', { cwd: root });
  const importers = files.filter((file) =>
    /^import (?!type )[^;]*from 'ssh2(\/[^']*)?';$|require\('ssh2'\) as/m.test(
      readFileSync(path.join(root, file), 'utf8'),
    ),
  );
  assert.deepEqual(importers, [path.join('src', 'shared', 'ssh', 'patches', 'ssh2.ts')]);
});
