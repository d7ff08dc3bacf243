import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { internalsOf, SSH2_VERSION } from '../../../../src/shared/ssh/patches/internals.ts';
import { Client } from '../../../../src/shared/ssh/patches/ssh2.ts';

const require = createRequire(import.meta.url);

test('the installed ssh2 is the one whose private fields we know', () => {
  assert.equal(SSH2_VERSION, '1.17.0');
  assert.equal(require('ssh2/package.json').version, SSH2_VERSION);
});

test('package.json pins it exactly', () => {
  assert.equal(require('../../../../package.json').dependencies.ssh2, SSH2_VERSION);
});

test('an object without these fields is told as a defect, not used', () => {
  assert.throws(() => internalsOf(new Client()), { code: 'internal' });
});
