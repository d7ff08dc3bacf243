import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import nacl from 'tweetnacl';
import { utils } from '../../../src/shared/ssh/patches/ssh2.ts';
import {
  encodeOpenSshPrivateKey,
  formatFingerprint,
  parseOpenSshPrivateKey,
  rawEd25519FromBlob,
  type SshKeyPair,
  sshPublicKeyBlob,
} from '../../../src/shared/ssh/ssh-key.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fleet-ssh-key-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string): string => path.join(folder, name);
const keygen = (...args: string[]): string => execFileSync('ssh-keygen', args, { encoding: 'utf8' });

function writeKey(name: string, text: string): string {
  writeFileSync(file(name), text);
  chmodSync(file(name), 0o600);
  return file(name);
}

function pairFromSeed(seed: Uint8Array, comment: string): SshKeyPair {
  return { seed: Uint8Array.from(seed), publicKey: nacl.sign.keyPair.fromSeed(seed).publicKey, comment };
}

const seeds = fc.uint8Array({ minLength: 32, maxLength: 32 });
const configInvalid = { code: 'config_invalid' };

describe('private keys', () => {
  test('ssh-keygen reads what we write, and derives the same public key and fingerprint', () => {
    const pair = pairFromSeed(Buffer.alloc(32, 7), 'node-1@home');
    const blob = sshPublicKeyBlob(pair.publicKey);
    const key = writeKey('ours', encodeOpenSshPrivateKey(pair));
    assert.equal(keygen('-y', '-f', key).trim(), `ssh-ed25519 ${blob.toString('base64')} node-1@home`);
    assert.equal(keygen('-l', '-f', key).split(' ')[1], formatFingerprint(blob));
  });

  test('we read what ssh-keygen writes', () => {
    keygen('-q', '-t', 'ed25519', '-N', '', '-C', 'made elsewhere', '-f', file('theirs'));
    const pair = parseOpenSshPrivateKey(readFileSync(file('theirs'), 'utf8'));
    const [, blob = ''] = readFileSync(file('theirs.pub'), 'utf8').split(' ');
    assert.equal(pair.comment, 'made elsewhere');
    assert.equal(sshPublicKeyBlob(pair.publicKey).toString('base64'), blob);
    assert.deepEqual(nacl.sign.keyPair.fromSeed(pair.seed).publicKey, pair.publicKey);
  });

  test('any key with any comment survives writing and reading, here and in ssh2', () => {
    fc.assert(
      fc.property(seeds, fc.string({ unit: 'grapheme', maxLength: 40 }), (seed, comment) => {
        const pair = pairFromSeed(seed, comment);
        const text = encodeOpenSshPrivateKey(pair);
        assert.deepEqual(parseOpenSshPrivateKey(text), pair);
        const theirs = utils.parseKey(text);
        assert.ok(!(theirs instanceof Error));
        assert.ok(theirs.getPublicSSH().equals(sshPublicKeyBlob(pair.publicKey)));
      }),
      { numRuns: 100 },
    );
  });

  test('line endings and space around do not matter', () => {
    const pair = pairFromSeed(Buffer.alloc(32, 9), 'windows');
    const text = ` \n${encodeOpenSshPrivateKey(pair).replaceAll('\n', '\r\n')}\n\n`;
    assert.deepEqual(parseOpenSshPrivateKey(text), pair);
  });

  test('an encrypted key, another type and another format are refused with a hint', () => {
    keygen('-q', '-t', 'ed25519', '-N', 'secret', '-f', file('encrypted'));
    keygen('-q', '-t', 'ecdsa', '-N', '', '-f', file('ecdsa'));
    for (const name of ['encrypted', 'ecdsa']) {
      const text = readFileSync(file(name), 'utf8');
      assert.throws(() => parseOpenSshPrivateKey(text), { ...configInvalid, hint: /ssh-keygen/ });
    }
    const pkcs8 = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    assert.throws(() => parseOpenSshPrivateKey(pkcs8), configInvalid);
  });

  test('a key whose halves do not belong together is refused', () => {
    const { publicKey } = pairFromSeed(Buffer.alloc(32, 1), '');
    const text = encodeOpenSshPrivateKey({ seed: Buffer.alloc(32, 2), publicKey, comment: '' });
    assert.throws(() => parseOpenSshPrivateKey(text), configInvalid);
  });

  test('garbage is refused with the same code, never with another exception', () => {
    const good = encodeOpenSshPrivateKey(pairFromSeed(Buffer.alloc(32, 3), 'x'));
    const lines = good.trim().split('\n');
    const body = Buffer.from(lines.slice(1, -1).join(''), 'base64');
    const armour = (bytes: Uint8Array): string =>
      [lines[0], Buffer.from(bytes).toString('base64'), lines.at(-1), ''].join('\n');
    const refused = (text: string): void => assert.throws(() => parseOpenSshPrivateKey(text), configInvalid);
    fc.assert(fc.property(fc.string(), refused));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => refused(armour(bytes))));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: body.length - 1 }), (end) => refused(armour(body.subarray(0, end)))),
    );
  });

  test('a flipped bit anywhere is noticed', () => {
    const pair = pairFromSeed(Buffer.alloc(32, 4), '');
    const lines = encodeOpenSshPrivateKey(pair).trim().split('\n');
    const body = Buffer.from(lines.slice(1, -1).join(''), 'base64');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: body.length * 8 - 1 }), (bit) => {
        const changed = Buffer.from(body);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const text = [lines[0], changed.toString('base64'), lines.at(-1)].join('\n');
        assert.throws(() => parseOpenSshPrivateKey(text), configInvalid);
      }),
      { numRuns: 300 },
    );
  });
});

describe('public keys', () => {
  test('blob and raw key are inverse', () => {
    fc.assert(
      fc.property(seeds, (raw) => {
        assert.deepEqual(rawEd25519FromBlob(sshPublicKeyBlob(raw)), Buffer.from(raw));
      }),
    );
  });

  test('a blob with anything more, less or else is no Ed25519 key', () => {
    const blob = sshPublicKeyBlob(Buffer.alloc(32, 5));
    assert.equal(rawEd25519FromBlob(Buffer.concat([blob, Buffer.from([0])])), undefined);
    const rsa = Buffer.from(blob);
    rsa.write('ssh-rsa', 4, 'latin1');
    assert.equal(rawEd25519FromBlob(rsa), undefined);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => rawEd25519FromBlob(Buffer.from(bytes)) === undefined),
    );
    for (let end = 0; end < blob.length; end += 1) assert.equal(rawEd25519FromBlob(blob.subarray(0, end)), undefined);
  });

  test('a key of another length is the caller’s mistake', () => {
    assert.throws(() => sshPublicKeyBlob(Buffer.alloc(31)), RangeError);
  });
});
