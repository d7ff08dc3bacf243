/** What survives what: kill -9 of each process, cut connections, offline nodes. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FleetWorld, findShims, kill9, type Service, until } from '../support/fleet-processes.ts';

describe('resilience', () => {
  let world: FleetWorld;
  let node: Service;

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    node = await world.startNode('node-1');
  });

  after(() => world.close());

  it('does not hold its own downtime against the nodes', async () => {
    if (world.gateway !== undefined) await kill9(world.gateway);
    await sleep(2_000);
    await world.startGateway();
    await until(async () => (await world.fleet(['run', 'node-1', 'true'])).code === 0, 'the node to be back');
    const report = await world.fleet(['health', 'report', '--format', 'json', '--exit-zero']);
    const { totals } = JSON.parse(report.text) as {
      totals: { outages: number; uptimePct: number; gatewayDownMs: number };
    };
    assert.deepEqual([totals.outages, totals.uptimePct], [0, 100]);
    assert.ok(totals.gatewayDownMs >= 2_000);
  });

  it('keeps streaming through kill -9 of the gateway: right code, all output, run once', async () => {
    const marks = path.join(world.folder, 'marks');
    const command = `echo x >> ${marks}; for i in $(seq 40); do echo line $i; sleep 0.1; done; exit 5`;
    const running = world.fleet(['run', 'node-1', command]);
    await until(async () => (await readFile(marks, 'utf8').catch(() => '')) !== '', 'the command to begin');
    if (world.gateway !== undefined) await kill9(world.gateway);
    await world.startGateway();
    const result = await running;
    assert.equal(result.code, 5);
    assert.equal(result.text, Array.from({ length: 40 }, (_, index) => `line ${index + 1}\n`).join(''));
    assert.equal(await readFile(marks, 'utf8'), 'x\n');
  });

  it('finishes a run whose CLI was killed', async () => {
    const cli = world.spawn(['run', 'node-1', 'echo begun; sleep 1; echo done']);
    await until(() => cli.stdout() === 'begun\n', 'the command to begin');
    await kill9(cli);
    const [job] = await world.json<{ job: string }[]>(['jobs', '--json']);
    assert.equal((await world.fleet(['jobs', 'logs', '-f', job?.job ?? ''])).text, 'begun\ndone\n');
  });

  it('goes on with a command through kill -9 of the node, and knows its exit code', async () => {
    const marks = path.join(world.folder, 'node-marks');
    const running = world.fleet([
      'run',
      'node-1',
      `echo x >> ${marks}; sleep 1; seq 1 20000; sleep 2; echo end; exit 5`,
    ]);
    await until(async () => (await readFile(marks, 'utf8').catch(() => '')) !== '', 'the command to begin');
    await kill9(node);
    node = await world.resumeNode('node-1');
    const { code, text } = await running;
    assert.equal(code, 5);
    assert.equal(text, `${Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join('')}end\n`);
    assert.equal(await readFile(marks, 'utf8'), 'x\n');
  });

  it('never runs a command again after kill -9 of the node and of its shim, and says unknown', async () => {
    const marks = path.join(world.folder, 'shim-marks');
    const running = world.fleet(['run', '--json', 'node-1', `echo x >> ${marks}; sleep 2`]);
    await until(async () => (await readFile(marks, 'utf8').catch(() => '')) !== '', 'the command to begin');
    const [shim = 0] = await findShims(world.nodeHome('node-1'));
    await kill9(node);
    process.kill(shim, 'SIGKILL');
    node = await world.resumeNode('node-1');
    const result = await running;
    const run = JSON.parse(result.text) as { state: string; reason: string };
    assert.equal(result.code, 255);
    assert.equal(run.state, 'unknown');
    assert.match(run.reason, /^node_restarted/);
    assert.equal(await readFile(marks, 'utf8'), 'x\n');
  });

  it('fails at once for an offline node, waits for it with --expires, and gives up when that is over', async () => {
    node.child.kill('SIGTERM');
    await node.exited;
    await until(async () => {
      const nodes = await world.json<{ status: string }[]>(['nodes', '--json']);
      return nodes[0]?.status === 'offline';
    }, 'the node to be offline');
    const now = await world.fleet(['run', '--json', 'node-1', 'true']);
    assert.equal(now.code, 255);
    assert.deepEqual(
      [(JSON.parse(now.text) as { state: string }).state, (JSON.parse(now.text) as { reason: string }).reason],
      ['expired', 'node_offline'],
    );
    const late = await world.fleet(['run', '--json', '--expires', '500ms', 'node-1', 'true']);
    assert.deepEqual([late.code, (JSON.parse(late.text) as { state: string }).state], [255, 'expired']);
    const waiting = world.fleet(['run', '--expires', '1m', 'node-1', 'echo at last']);
    node = await world.resumeNode('node-1');
    assert.equal((await waiting).text, 'at last\n');
    assert.equal((await world.fleet(['health'])).code === 2, false);
  });

  it('cancels a queued run without ever starting it', async () => {
    const marks = path.join(world.folder, 'never');
    const blockers = Array.from({ length: 4 }, () => world.fleet(['run', '--async', 'node-1', 'sleep 30']));
    const jobs = (await Promise.all(blockers)).map(({ text }) => text.trim());
    const queued = (await world.fleet(['run', '--async', 'node-1', `touch ${marks}`])).text.trim();
    assert.equal((await world.fleet(['jobs', 'cancel', queued])).code, 0);
    const [shown] = await world.json<{ runs: { state: string }[] }[]>(['jobs', '--json']);
    assert.equal(shown?.runs[0]?.state, 'canceled');
    for (const job of jobs) await world.fleet(['jobs', 'cancel', job]);
    for (const job of jobs) assert.equal((await world.fleet(['jobs', 'wait', job])).code, 130);
    await assert.rejects(readFile(marks), { code: 'ENOENT' });
  });

  it('never runs two of a lane at once, and keeps their order', async () => {
    const file = path.join(world.folder, 'lane');
    const jobs: string[] = [];
    for (let index = 0; index < 6; index += 1) {
      const command = `echo begin ${index} >> ${file}; sleep 0.05; echo end ${index} >> ${file}`;
      jobs.push((await world.fleet(['run', '--async', '--lane', 'one', 'node-1', command])).text.trim());
    }
    for (const job of jobs) assert.equal((await world.fleet(['jobs', 'wait', job])).code, 0);
    const expected = Array.from({ length: 6 }, (_, index) => `begin ${index}\nend ${index}\n`).join('');
    assert.equal(await readFile(file, 'utf8'), expected);
  });

  it('drains and closes in order on SIGTERM, and finds everything again', async () => {
    const jobs = await world.json<unknown[]>(['jobs', '--json']);
    world.gateway?.child.kill('SIGTERM');
    assert.deepEqual(await world.gateway?.exited, { code: 0, signal: null });
    await world.startGateway();
    assert.deepEqual(await world.json<unknown[]>(['jobs', '--json']), jobs);
    await until(async () => (await world.fleet(['run', 'node-1', 'true'])).code === 0, 'the node to be back');
  });
});
