import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { FleetError } from '../../../src/shared/errors.ts';
import { loadOrCreateIdentity } from '../../../src/shared/ssh/identity.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

test('the key is made once, private, and stock ssh-keygen reads it as the same key', (t) => {
  const file = path.join(tempFolder(t), 'id_ed25519');
  const identity = loadOrCreateIdentity(file, 'fleet node x');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(loadOrCreateIdentity(file, 'another').publicKey, identity.publicKey);
  const line = execFileSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' });
  const blob = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  assert.deepEqual(blob.subarray(-32), Buffer.from(identity.publicKey));
  chmodSync(file, 0o640);
  assert.throws(() => loadOrCreateIdentity(file, 'x'), { code: 'home_insecure' });
  chmodSync(file, 0o600);
  writeFileSync(file, 'garbage');
  assert.throws(
    () => loadOrCreateIdentity(file, 'x'),
    ({ code, message, hint }: FleetError) => {
      return code === 'config_invalid' && message.startsWith(`${file}: `) && /^Restore it/.test(hint ?? '');
    },
  );
});

test('what it signs, any other implementation verifies', (t) => {
  const identity = loadOrCreateIdentity(path.join(tempFolder(t), 'k'), 'x');
  const x = Buffer.from(identity.publicKey).toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const message = Buffer.from('transcript');
  assert.equal(verify(null, message, key, identity.sign(message)), true);
  assert.equal(verify(null, Buffer.from('Transcript'), key, identity.sign(message)), false);
});

test('processes that need the key for the first time at once use one key', { timeout: 60_000 }, async (t) => {
  const file = path.join(tempFolder(t), 'k');
  const module = JSON.stringify(new URL('../../../src/shared/ssh/identity.ts', import.meta.url).href);
  const code = `import { loadOrCreateIdentity } from ${module};
    process.stdin.once('data', () => {
      process.stdout.end(Buffer.from(loadOrCreateIdentity(process.argv[1], 'x').publicKey).toString('hex'));
      process.stdin.destroy();
    });
    process.stderr.write('ready');`;
  const children = [1, 2, 3].map(() => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code, file], { stdio: 'pipe' });
    cleanUp(t, () => child.kill('SIGKILL'));
    return child;
  });
  await Promise.all(children.map((child) => once(child.stderr, 'data')));
  const told = children.map(async ({ stdout }) => Buffer.concat(await stdout.toArray()).toString());
  for (const child of children) child.stdin.write('go');
  const key = Buffer.from(loadOrCreateIdentity(file, 'x').publicKey).toString('hex');
  assert.deepEqual(await Promise.all(told), [key, key, key]);
});

test('a link that leads nowhere is no place for a key', (t) => {
  const file = path.join(tempFolder(t), 'k');
  symlinkSync('/nonexistent/key', file);
  assert.throws(() => loadOrCreateIdentity(file, 'x'), { code: 'storage_failed' });
});
