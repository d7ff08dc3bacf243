import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { GENESIS_HASH, headBytes, sealLine } from '../../../src/domain/audit.ts';
import { type Answer, FakeGateway, json } from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

const NOW = Date.UTC(2026, 0, 2);
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const KEY = publicKey.export({ format: 'jwk' }).x ?? '';

function chain(count: number): { lines: string[]; hashes: string[] } {
  const lines: string[] = [];
  const hashes: string[] = [];
  for (let seq = 1; seq <= count; seq += 1) {
    const actor = { name: 'ann', role: 'operator', via: 'ssh', key: 'SHA256:k', address: '192.0.2.7' };
    const details = { node: `web-${seq}`, command: 'uname -a\u001b[31m', env: ['A'] };
    const row = { seq, at: '2026-01-01T23:00:00.000Z', actor, action: 'job.submit', outcome: 'ok', details };
    const sealed = sealLine(JSON.stringify({ ...row, prev: hashes.at(-1) ?? GENESIS_HASH }));
    lines.push(sealed.line);
    hashes.push(sealed.hash);
  }
  return { lines, hashes };
}

function head(seq: number, hash: string): Answer {
  const signature = sign(null, headBytes({ seq, hash }), privateKey).toString('base64url');
  return json({ head: { seq, hash, key: KEY, signature }, live: { seq, hash }, keys: [KEY] });
}

/** As the gateway does, two rows a page. */
const pages =
  (lines: readonly string[]): Answer =>
  (response, request) => {
    const query = new URL(request.url, 'http://x').searchParams;
    const before = query.get('before');
    const after = Number(query.get('after') ?? 0);
    const of = (line: string): number => (JSON.parse(line) as { seq: number }).seq;
    const fitting =
      before === null
        ? lines.filter((line) => of(line) > after)
        : lines.filter((line) => of(line) < Number(before)).reverse();
    const page = fitting.slice(0, 2);
    const last = page.at(-1);
    return json({ lines: page, next: page.length < 2 || last === undefined ? null : of(last) })(response, request);
  };

describe('fleet audit', { timeout: 20_000 }, () => {
  const { lines, hashes } = chain(5);
  const hash = hashes[4] ?? '';
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    gateway.on('GET /v1/audit', pages(lines)).on('GET /v1/audit/head', head(5, hash));
    world = new TestWorld(gateway.home);
    world.clock = { ...world.clock, now: () => NOW };
  });
  afterEach(() => gateway.close());

  test('shows the latest rows, the newest last, and nothing that a terminal would obey', async () => {
    const { stdout, exitCode } = await world.run('audit', '--limit', '3');
    assert.equal(exitCode, 0);
    assert.match(stdout, /^TIME +ACTOR +FROM +ACTION +OUTCOME +DETAILS\n/);
    assert.deepEqual(stdout.match(/web-\d/g), ['web-3', 'web-4', 'web-5']);
    assert.match(
      stdout,
      /2026-01-01T23:00:00\.000Z +ann \(operator\) +192\.0\.2\.7 +job\.submit +ok +node=web-3 command=/,
    );
    assert.ok(!stdout.includes('\u001b'));
  });

  test('--since gives all of a time, with what the gateway shall look for', async () => {
    const { stdout } = await world.run('audit', '--since', '24h', '--actor', 'ann', '--action', 'job', '--jsonl');
    assert.equal(stdout, lines.map((line) => `${line}\n`).join(''));
    const query = new URL(gateway.seen[0]?.url ?? '', 'http://x').searchParams;
    assert.deepEqual(
      [query.get('since'), query.get('actor'), query.get('action')],
      [String(NOW - 86_400_000), 'ann', 'job'],
    );
    assert.deepEqual(
      JSON.parse((await world.run('audit', '--json')).stdout),
      lines.map((line) => JSON.parse(line)),
    );
    assert.equal((await world.run('audit', '--since', 'x')).exitCode, 2);
  });

  test('verify says 0 and the head, or 1 and what is wrong', async () => {
    const intact = await world.run('audit', 'verify');
    assert.deepEqual([intact.exitCode, intact.stdout], [0, `intact: 5 rows\nhead: 5:${hash}\nkey: ${KEY}\n`]);
    assert.equal((await world.run('audit', 'verify', '--expect', `3:${hashes[2]}`)).exitCode, 0);
    const other = await world.run('audit', 'verify', '--expect', `2:${hashes[2]}`, '--json');
    assert.equal(other.exitCode, 1);
    const { intact: verdict, problems, head: shown } = JSON.parse(other.stdout);
    assert.deepEqual([verdict, problems[0].kind, shown.hash], [false, 'expected', hash]);
    const wrong = await world.run('audit', 'verify', '--expect', '5:abc');
    assert.deepEqual([wrong.exitCode, wrong.stderr.includes('SEQ:HASH')], [2, true]);
  });

  test('verify finds what is missing, also when it is the last row', async () => {
    await gateway.close();
    gateway = await new FakeGateway()
      .on('GET /v1/audit', pages(lines.slice(0, 4)))
      .on('GET /v1/audit/head', head(5, hash))
      .listen();
    world = new TestWorld(gateway.home);
    const { exitCode, stdout } = await world.run('audit', 'verify');
    assert.equal(exitCode, 1);
    assert.match(
      stdout,
      /^damaged: 2 problems in 4 rows\n {2}the log ends at row 4, which is not its signed head \(row 5\)\n/,
    );
  });

  test('export is byte for byte what is stored, in a file for its owner only', async () => {
    const text = lines.map((line) => `${line}\n`).join('');
    assert.equal((await world.run('audit', 'export', '--jsonl')).stdout, text);
    const file = path.join(gateway.home, 'audit.jsonl');
    const { exitCode, stdout } = await world.run('audit', 'export', '--out', file);
    assert.deepEqual([exitCode, stdout, readFileSync(file, 'utf8')], [0, '', text]);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test('an export that breaks off leaves the old file', async () => {
    const file = path.join(gateway.home, 'audit.jsonl');
    await world.run('audit', 'export', '--out', file);
    await gateway.stop();
    const { exitCode, stderr } = await world.run('audit', 'export', '--out', file);
    assert.deepEqual([exitCode, stderr.includes('no gateway is running')], [255, true]);
    assert.equal(readFileSync(file, 'utf8').split('\n').length, 6);
  });
});
