/** The audit log and the secrets of a whole fleet of real processes: what is recorded, what is found, and what is nowhere. */
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import type { CheckedAudit } from '../../src/client/read-audit.ts';
import type { AuditRow } from '../../src/domain/audit.ts';
import { FleetWorld, kill9, type Result, type Service } from '../support/fleet-processes.ts';

const DEBUG = 'logLevel: debug';

describe('audit log and secrets', () => {
  let world: FleetWorld;
  let node: Service;
  let code: string;

  before(async () => {
    world = await FleetWorld.create();
    for (const home of [world.home, world.nodeHome('node-1')]) {
      await mkdir(home, { mode: 0o700 });
      const agents = 'agents: {counter: {command: [wc, -c], prompt: stdin, events: text}}';
      await writeFile(path.join(home, 'config.yaml'), `gateway:\n  ${DEBUG}\nnode:\n  ${DEBUG}\n  ${agents}\n`, {
        mode: 0o600,
      });
    }
    await world.startGateway();
    ({ code } = await world.json<{ code: string }>(['invite', '--name', 'node-1', '--json']));
    node = await world.resumeNode('node-1', '--code', code);
  });

  after(() => world.close());

  const read = async (...args: string[]): Promise<AuditRow[]> =>
    (await world.fleet(['audit', '--jsonl', ...args])).text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditRow);

  it('keeps secrets out of every log, every error and every JSON, and every file to its owner', async () => {
    const secrets = { env: 'canary-env-4711', stdin: 'canary-stdin-4711', prompt: 'canary-prompt-4711' };
    const seen: Result[] = [];
    const fleet = async (args: string[], stdin?: string): Promise<Result> => {
      const result = await world.fleet(args, stdin === undefined ? {} : { stdin: Buffer.from(stdin) });
      seen.push(result);
      return result;
    };
    const env = ['--env', `TOKEN=${secrets.env}`];
    const run = await fleet(['run', '--json', ...env, '--stdin', 'node-1', 'wc -c; test -n "$TOKEN"'], secrets.stdin);
    assert.equal(run.code, 0, run.stderr);
    assert.equal((await fleet(['agent', 'run', 'node-1', 'counter', '--', secrets.prompt])).code, 0);
    // Whatever can go wrong with them.
    await fleet(['run', '--json', ...env, '--cwd', '/no/such/folder', 'node-1', 'true']);
    await fleet(['run', '--json', ...env, '--user', 'no-such-user', 'node-1', 'true']);
    await fleet(['run', '--json', ...env, 'no-such-node', 'true']);
    await fleet(['run', '--json', '--env', `1BAD=${secrets.env}`, 'node-1', 'true']);
    await fleet(['agent', 'run', 'node-1', 'no-such-agent', '--', secrets.prompt]);
    await fleet(['node', 'up', '--gateway', `127.0.0.1:${world.port}`, '--code', code, '--json']);
    await fleet(['nodes', 'show', 'node-1', '--json']);
    await fleet(['gateway', 'status', '--json']);
    await kill9(node);
    node = await world.resumeNode('node-1');
    const audit = await fleet(['audit', '--jsonl', '--action', 'job', '--limit', '3']);
    assert.match(audit.text, /"env":\["TOKEN"\]/);

    const files = readdirSync(world.folder, { recursive: true, encoding: 'utf8' }).map((file) =>
      path.join(world.folder, file),
    );
    const logs = files.filter((file) => /\.log(\.1)?$/.test(file) && !file.includes('spool'));
    assert.ok(logs.length >= 2);
    const texts = [
      ...logs.map((file) => readFileSync(file, 'utf8')),
      ...[world.gateway, node].map((service) => `${service?.stdout()}${service?.stderr()}`),
      ...seen.filter((result) => result !== audit).map(({ text, stderr }) => text + stderr),
    ];
    const apiToken = readFileSync(path.join(world.home, 'gateway', 'api.token'), 'utf8').trim();
    const secretCode = code.replaceAll('-', '').slice(4);
    for (const text of texts) {
      for (const [what, secret] of Object.entries({ ...secrets, apiToken }))
        assert.ok(!text.includes(secret), `${what}: ${text}`);
      assert.ok(!text.replaceAll('-', '').includes(secretCode), `the code: ${text}`);
      assert.doesNotMatch(text, /eyJ[\w-]{8,}\.[\w-]+/, 'a JWT');
      assert.doesNotMatch(text, /OPENSSH PRIVATE KEY/);
    }
    const rows = JSON.stringify(await read('--limit', '1000'));
    for (const secret of [secrets.env, secrets.stdin, secretCode]) assert.ok(!rows.includes(secret));

    for (const file of files) {
      const stats = statSync(file, { throwIfNoEntry: false });
      if (stats === undefined || stats.isFIFO()) continue;
      assert.equal(stats.mode & 0o077, 0, `${file}: ${stats.mode.toString(8)}`);
    }
  });

  it('tells who did what, from the pairing to the end of a run, and survives a kill -9 of the gateway', async () => {
    const actions = (await read('--limit', '1000')).map(({ action }) => action);
    for (const action of ['gateway.start', 'invite.create', 'node.pair', 'job.submit', 'run.end']) {
      assert.ok(actions.includes(action), action);
    }
    assert.ok(world.gateway);
    await kill9(world.gateway);
    await world.startGateway();
    const verdict = await world.json<CheckedAudit>(['audit', 'verify', '--json']);
    assert.deepEqual([verdict.intact, verdict.problems], [true, []]);
    const [start] = await read('--action', 'gateway.start', '--limit', '1');
    assert.equal(start?.actor.name, 'gateway');
  });

  it('an export can be verified on another machine, with the key that was noted there, and not once it was changed', async () => {
    const key = /^key: (\S+)$/m.exec((await world.fleet(['audit', 'verify'])).text)?.[1] ?? '';
    const file = path.join(world.folder, 'audit.jsonl');
    const head = path.join(world.folder, 'audit.head');
    assert.equal((await world.fleet(['audit', 'export', '--out', file, '--head', head])).code, 0);
    const elsewhere = { home: path.join(world.folder, 'no-gateway-here') };
    const verify = ['audit', 'verify', '--file', file, '--head', head, '--key', key];
    const good = await world.fleet(verify, elsewhere);
    assert.equal(good.code, 0, good.text + good.stderr);
    const rows = readFileSync(file, 'utf8').trimEnd().split('\n');
    assert.ok(rows.length > 5);
    writeFileSync(file, rows.slice(0, -1).join('\n'));
    const cut = await world.fleet(verify, elsewhere);
    assert.deepEqual([cut.code, /which is not its signed head/.test(cut.text)], [1, true], cut.text);
  });

  it('verify ends with 1 once somebody has changed the database, and goes on to say so after a restart', async () => {
    const good = await world.fleet(['audit', 'verify']);
    assert.equal(good.code, 0, good.text);
    const head = /^head: (\S+)$/m.exec(good.text)?.[1] ?? '';
    assert.equal((await world.fleet(['audit', 'verify', '--expect', head])).code, 0);
    const tamper = (sql: string): void => {
      const database = new Database(path.join(world.home, 'gateway', 'fleet.db'));
      database.exec(sql);
      database.close();
    };
    tamper('DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)');
    const cut = await world.fleet(['audit', 'verify']);
    assert.deepEqual([cut.code, /which is not its signed head/.test(cut.text)], [1, true], cut.text);
    await world.fleet(['gateway', 'down']);
    await world.gateway?.exited;
    tamper('DELETE FROM audit_head');
    await world.startGateway();
    const later = await world.json<CheckedAudit>(['audit', 'verify', '--json'], 1);
    assert.deepEqual(
      later.problems.map(({ kind }) => kind),
      ['missing', 'noted_damage'],
    );
    assert.equal((await world.fleet(['audit', 'verify', '--expect', head])).code, 1);
  });

  it('neither gateway nor node starts while others may read a file of theirs', async () => {
    await world.fleet(['gateway', 'down']);
    await world.gateway?.exited;
    const database = path.join(world.home, 'gateway', 'fleet.db');
    chmodSync(database, 0o644);
    const refused = await world.fleet(['gateway', 'up', '--listen', '127.0.0.1:0']);
    assert.equal(refused.code, 78);
    assert.match(refused.stderr, /fleet\.db is open to other users \(mode 644\)\n.*chmod 600/);
    chmodSync(database, 0o600);
    node.child.kill('SIGTERM');
    await node.exited;
    const profile = path.join(world.nodeHome('node-1'), 'nodes', 'node-1');
    const [folder = profile] = readdirSync(path.dirname(profile)).map((name) => path.join(path.dirname(profile), name));
    chmodSync(path.join(folder, 'node.log'), 0o640);
    const up = ['node', 'up', '--gateway', `127.0.0.1:${world.port}`];
    const refusedNode = await world.fleet(up, { home: world.nodeHome('node-1') });
    assert.deepEqual(
      [refusedNode.code, refusedNode.stderr.includes('node.log is open')],
      [78, true],
      refusedNode.stderr,
    );
  });
});
