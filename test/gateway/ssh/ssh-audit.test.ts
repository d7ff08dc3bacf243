import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { startServer } from './fixtures.ts';

/** It waits 5 s for each answer, by itself. */
const AUDIT_MS = 60_000;

/** What a release newer than Debian 12's calls weak: every key exchange without a post-quantum part. ssh2 has none. */
const KNOWN: readonly RegExp[] = [
  /^\(kex\) curve25519-sha256(@libssh\.org)? +-- \[warn\] does not provide protection against post-quantum attacks$/,
];

interface Audit {
  banner: { raw: string };
  kex: { algorithm: string }[];
  key: { algorithm: string }[];
  enc: (string | { algorithm: string })[];
  mac: (string | { algorithm: string })[];
  compression: string[];
}

function audit(port: number, ...flags: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const args = [...flags, '-p', String(port), '127.0.0.1'];
    execFile('ssh-audit', args, { timeout: AUDIT_MS }, (error, stdout, stderr) => {
      // Its exit code tells of faults, which are looked at one by one.
      if (error !== null && typeof error.code !== 'number') {
        reject(new Error(`this test needs ssh-audit: apt-get install ssh-audit (${error.message} ${stderr})`));
      } else resolve(stdout);
    });
  });
}

function nameOf(entry: string | { algorithm: string }): string {
  return typeof entry === 'string' ? entry : entry.algorithm;
}

test('ssh-audit has no fault and no warning, and finds nothing but what is meant to be offered', async (t) => {
  const gateway = await startServer();
  t.after(() => gateway.server.close());
  const { banner, kex, key, enc, mac, compression } = JSON.parse(await audit(gateway.port, '-j')) as Audit;
  assert.equal(banner.raw, 'SSH-2.0-fleet');
  assert.deepEqual(
    { kex: kex.map(nameOf), key: key.map(nameOf), enc: enc.map(nameOf), mac: mac.map(nameOf), compression },
    {
      // It announces no strict key exchange, and so sees neither our announcement nor what needs it.
      kex: ['curve25519-sha256@libssh.org', 'curve25519-sha256'],
      key: ['ssh-ed25519'],
      enc: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
      mac: ['hmac-sha2-256-etm@openssh.com'],
      compression: ['none'],
    },
  );
  const lines = (await audit(gateway.port, '-n', '-b')).split('\n');
  assert.ok(
    lines.some((line) => line.includes('ssh-ed25519')),
    'a report',
  );
  const faults = lines.filter((line) => /\[(warn|fail)\]/.test(line));
  assert.deepEqual(
    faults.filter((line) => !KNOWN.some((known) => known.test(line))),
    [],
  );
});
