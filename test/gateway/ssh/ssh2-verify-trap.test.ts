import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utils } from '../../../src/shared/ssh/patches/ssh2.ts';
import { sshPublicKeyBlob } from '../../../src/shared/ssh/ssh-key.ts';
import { newKeyPair } from './fixtures.ts';

// When this fails, ssh2 has changed: authenticate.ts may then be looser, and need not be.
test('ssh2 has the trap that this is about: what it returns for a mislabelled key is not true, but truthy', () => {
  const key = utils.parseKey(sshPublicKeyBlob(newKeyPair().publicKey));
  assert.ok(!(key instanceof Error));
  const verdict: unknown = key.verify(Buffer.from('blob'), Buffer.alloc(64), 'sha256');
  assert.ok(verdict);
  assert.notEqual(verdict, true);
});
