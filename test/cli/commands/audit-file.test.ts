import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { GENESIS_HASH, headBytes, sealLine } from '../../../src/domain/audit.ts';
import { FakeGateway, json } from '../../client/fake-gateway.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';
import { TestWorld } from '../test-world.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const KEY = publicKey.export({ format: 'jwk' }).x ?? '';
const OTHER_KEY = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x ?? '';

/** With what JSON may hold and some readers take for the end of a line. */
function chainOf(count: number): { lines: string[]; hashes: string[] } {
  const lines: string[] = [];
  const hashes: string[] = [];
  for (let seq = 1; seq <= count; seq += 1) {
    const actor = { name: 'ann', role: 'operator', via: 'ssh', key: 'SHA256:k', address: '192.0.2.7' };
    const row = { seq, at: '2026-01-01T23:00:00.000Z', actor, action: 'job.submit', outcome: 'ok' };
    const details = { command: `a\u2028b\u2029ü${seq}` };
    const sealed = sealLine(JSON.stringify({ ...row, details, prev: hashes.at(-1) ?? GENESIS_HASH }));
    lines.push(sealed.line);
    hashes.push(sealed.hash);
  }
  return { lines, hashes };
}

function headOf(seq: number, hash: string) {
  const signature = sign(null, headBytes({ seq, hash }), privateKey).toString('base64url');
  return { seq, hash, key: KEY, signature };
}

function setUp(t: TestContext) {
  const folder = tempFolder(t);
  const world = new TestWorld(folder);
  const { lines, hashes } = chainOf(6);
  const file = path.join(folder, 'audit.jsonl');
  const headFile = path.join(folder, 'audit.head');
  const write = (rows: readonly string[], head: unknown = headOf(6, hashes[5] ?? '')): void => {
    writeFileSync(file, rows.map((line) => `${line}\n`).join(''));
    writeFileSync(headFile, `${JSON.stringify(head)}\n`);
  };
  write(lines);
  /** Exit code and kinds of problems, without any gateway. */
  const verify = async (...args: string[]) => {
    const { exitCode, stdout } = await world.run('audit', 'verify', '--file', file, '--json', ...args);
    if (exitCode > 1) return [exitCode];
    const { problems } = JSON.parse(stdout) as { problems: { kind: string }[] };
    return [exitCode, ...problems.map(({ kind }) => kind)];
  };
  return { folder, world, lines, hashes, file, headFile, write, verify };
}

test('an export with its head and the key of the gateway is intact, and what was not looked at is said', async (t) => {
  const { world, file, headFile, hashes } = setUp(t);
  const told = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await world.run('audit', 'verify', '--file', file, ...args);
    assert.equal(exitCode, 0, stdout);
    return [stdout, stderr];
  };
  const head = `head: 6:${hashes[5]}\nkey: ${KEY}\n`;
  assert.deepEqual(await told('--head', headFile, '--key', OTHER_KEY, '--key', KEY), [`intact: 6 rows\n${head}`, '']);
  const [stdout, unknownKey = ''] = await told('--head', headFile);
  assert.equal(stdout, `intact: 6 rows\n${head}`);
  assert.match(unknownKey, /--key KEY/);
  const [rowsOnly, noHead = ''] = await told('--expect', `3:${hashes[2]}`);
  assert.equal(rowsOnly, 'intact: 6 rows\n');
  assert.match(noHead, /--head FILE/);
});

test('what was changed, removed or cut is found, at either end, too; so is a foreign signature', async (t) => {
  const { lines, hashes, write, verify, headFile } = setUp(t);
  const proof = ['--head', headFile, '--key', KEY];
  assert.deepEqual(await verify(...proof), [0]);
  write(lines.with(2, (lines[2] ?? '').replace('ann', 'bob')));
  assert.deepEqual(await verify(...proof), [1, 'changed']);
  write(lines.toSpliced(2, 1));
  assert.deepEqual(await verify(...proof), [1, 'missing']);
  write(lines.slice(0, 5));
  assert.deepEqual(await verify(...proof), [1, 'cut_end']);
  assert.deepEqual(await verify(), [0], 'which nobody can see without the head');
  write(lines.slice(1));
  assert.deepEqual(await verify(...proof), [1, 'cut_begin']);
  write(lines.map((line) => `${line}\r`));
  assert.equal((await verify(...proof))[0], 1);
  write(lines);
  assert.deepEqual(await verify('--head', headFile, '--key', OTHER_KEY), [1, 'head']);
  write(lines, { ...headOf(6, hashes[5] ?? ''), seq: 5 });
  assert.deepEqual(await verify(...proof), [1, 'head', 'cut_end']);
  write(lines, { ...headOf(6, hashes[5] ?? ''), key: 'no key' });
  assert.deepEqual(await verify(...proof), [1, 'head']);
});

test('an export that begins in the middle is intact when that was meant', async (t) => {
  const { world, file, lines, write, verify, headFile } = setUp(t);
  write(lines.slice(2));
  assert.deepEqual(await verify('--head', headFile), [1, 'cut_begin']);
  assert.deepEqual(await verify('--head', headFile, '--partial'), [0]);
  const { stdout } = await world.run('audit', 'verify', '--file', file, '--head', headFile, '--partial');
  assert.match(stdout, /^intact: 4 rows, from row 3; earlier rows were not checked\n/);
});

test('what is no export is refused, and options that mean nothing are', async (t) => {
  const { world, folder, file, headFile, lines, write, verify } = setUp(t);
  const refused = async (...args: string[]): Promise<string> => {
    const { exitCode, stderr } = await world.run('audit', 'verify', ...args);
    assert.equal(exitCode, 2, stderr);
    return stderr;
  };
  assert.match(await refused('--file', path.join(folder, 'none')), /cannot read .*none: ENOENT/);
  assert.match(await refused('--file', folder), /cannot read .*: EISDIR/);
  assert.match(await refused('--file', file, '--head', path.join(folder, 'none')), /ENOENT/);
  assert.match(await refused('--file', file, '--head', file), /is not the head of an audit log\n.*audit export/);
  assert.match(await refused('--file', file, '--head', headFile, '--key', 'abc'), /--key is not a public key: "abc"/);
  for (const args of [['--head', headFile], ['--key', KEY], ['--partial']]) {
    assert.match(await refused(...args), /require --file/);
  }
  write([]);
  assert.match(await refused('--file', file), /contains no rows/);
  write(['no json', ...lines]);
  assert.deepEqual(await verify(), [1, 'unreadable']);
  writeFileSync(file, Buffer.from([0xff, 0xfe, 0x00, 0x0a]));
  assert.deepEqual(await verify(), [1, 'unreadable']);
  writeFileSync(file, `\ufeff${lines.join('\n')}`);
  assert.equal((await verify())[0], 1);
  writeFileSync(file, lines.join('\n'));
  assert.deepEqual(await verify('--head', headFile), [0], 'the last line needs no line feed');
});

test('what is exported with its head can be verified, although rows are written meanwhile', async (t) => {
  const { lines, hashes } = chainOf(6);
  const gateway = await new FakeGateway()
    // The head is asked for first; two rows come before the rows are.
    .on(
      'GET /v1/audit/head',
      json({ head: headOf(4, hashes[3] ?? ''), live: { seq: 4, hash: hashes[3] }, keys: [KEY] }),
    )
    .on('GET /v1/audit', json({ lines, next: null }))
    .listen();
  cleanUp(t, () => gateway.close());
  const world = new TestWorld(gateway.home);
  const [file, head] = ['audit.jsonl', 'audit.head'].map((name) => path.join(gateway.home, name)) as [string, string];
  assert.equal((await world.run('audit', 'export', '--out', file, '--head', head)).exitCode, 0);
  assert.equal(
    readFileSync(file, 'utf8'),
    lines
      .slice(0, 4)
      .map((line) => `${line}\n`)
      .join(''),
  );
  await gateway.stop();
  const { exitCode, stdout } = await world.run('audit', 'verify', '--file', file, '--head', head, '--key', KEY);
  assert.deepEqual([exitCode, stdout], [0, `intact: 4 rows\nhead: 4:${hashes[3]}\nkey: ${KEY}\n`]);
});
