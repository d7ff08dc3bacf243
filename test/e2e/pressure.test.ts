/** Real pressure on a real node: status, alert and report say what is so. */
import assert from 'node:assert/strict';
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AlertView } from '../../src/protocol/alerts.ts';
import type { HealthNodeView, HealthView } from '../../src/protocol/views.ts';
import { FleetWorld, kill9, type Service, until } from '../support/fleet-processes.ts';
import { makeOwnDisk } from '../support/own-disk.ts';

const PATIENCE_MS = 60_000;
/** Well above what a machine that does nothing shows, and well below what a loop on each core makes. */
const CPU_LIMIT_PCT = 50;
/** Of a disk of our own, which is filled to the end. */
const OWN_DISK_LIMIT_PCT = 99;
/** So much above the present memory must be used for the alert, and in such steps it is taken, bytes. */
const MEMORY_ABOVE = 150e6;
const MEMORY_STEP = 50e6;
const MEMORY_STEPS = 40;
/** Of a disk of somebody else's, percent: to be filled on top of the present. */
const BORROWED_PCT = 0.3;

describe('pressure', () => {
  let world: FleetWorld;
  let node: Service;
  let through: readonly string[] = [];
  /** Fills a disk of the node, and frees it again. */
  let fill = '';
  let free = '';

  const health = () => world.fleet(['health', '--json']).then(({ text }) => JSON.parse(text) as HealthView);
  const node1 = async (): Promise<HealthNodeView> => {
    const { nodes } = await health();
    const [first] = nodes;
    assert.ok(first !== undefined);
    return first;
  };
  const alertOf = async (rule: string): Promise<AlertView | undefined> =>
    (await world.json<AlertView[]>(['alerts', '--json'])).find((alert) => alert.rule === rule);
  const inBackground = async (command: string): Promise<string> =>
    (await world.fleet(['run', '--async', 'node-1', command])).text.trim();
  const cancel = async (job: string): Promise<void> => {
    assert.ok([0, 130].includes((await world.fleet(['jobs', 'cancel', job])).code ?? -1));
  };
  /** Fires, with the node in that status for that reason. */
  const untilFires = async (rule: string, status: HealthNodeView['status'], reason: RegExp): Promise<void> => {
    await until(
      async () => {
        const { nodes, alerts } = await health();
        const [first] = nodes;
        const isSo = first?.status === status && first.reasons.some((text) => reason.test(text));
        return isSo && alerts.some((alert) => alert.rule === rule);
      },
      `${rule} to fire and the node to be ${status}`,
      PATIENCE_MS,
    );
  };
  const untilOver = (rule: string): Promise<void> =>
    until(async () => (await alertOf(rule))?.state === 'resolved', `the end of ${rule}`, PATIENCE_MS);

  const configure = async (limits: { memUsedPct: number; diskUsedPct: number }): Promise<void> => {
    const rules = [
      { name: 'cpu', when: { metric: 'cpuPct', above: CPU_LIMIT_PCT }, clearFor: 0 },
      { name: 'memory', when: { metric: 'memUsedPct', above: limits.memUsedPct }, clearFor: 0 },
      { name: 'disk', when: { metric: 'diskUsedPct', above: limits.diskUsedPct }, clearFor: 0 },
      { name: 'away', when: { status: 'offline' }, severity: 'critical' },
    ];
    const thresholds = { ...limits, cpuPct: CPU_LIMIT_PCT };
    const config = { gateway: { heartbeatInterval: '1s', thresholds, alerts: { rules } } };
    await writeFile(path.join(world.home, 'config.yaml'), JSON.stringify(config), { mode: 0o600 });
  };

  before(async () => {
    world = await FleetWorld.create();
    await mkdir(world.home, { mode: 0o700 });
    await configure({ memUsedPct: 100, diskUsedPct: 100 });
    const gateway = await world.startGateway();
    const disk = await makeOwnDisk(world.folder);
    through = disk?.through ?? [];
    const { code } = await world.json<{ code: string }>(['invite', '--name', 'node-1', '--json']);
    node = await world.startThrough(through, 'node-1', '--code', code);
    await until(async () => (await node1()).diskUsedPct !== null, 'the first figures', PATIENCE_MS);
    const present = await node1();
    const memTotalBytes =
      Number((await world.fleet(['run', 'node-1', 'cat /proc/meminfo'])).text.match(/\d+/)?.[0]) * 1024;
    const diskUsedPct = disk === null ? (present.diskUsedPct ?? 0) + BORROWED_PCT : OWN_DISK_LIMIT_PCT;
    const folder = disk?.folder ?? world.folder;
    const { blocks, bsize } = await statfs(folder);
    // Where nobody may mount, a piece of the machine's own disk, which has to be its fullest one.
    const bytes = Math.ceil(blocks * bsize * (BORROWED_PCT / 100) * 3);
    fill = disk === null ? `fallocate -l ${bytes} ${folder}/filler` : `cat /dev/zero > ${folder}/filler; true`;
    free = `rm ${folder}/filler`;
    await kill9(gateway);
    await configure({
      memUsedPct: Math.min(99, (present.memUsedPct ?? 0) + (MEMORY_ABOVE / memTotalBytes) * 100),
      diskUsedPct,
    });
    await world.startGateway();
    await until(async () => (await node1()).status !== 'offline', 'the node to be back', PATIENCE_MS);
  });

  after(() => world.close());

  it('CPU: a loop on each core', async () => {
    const job = await inBackground('for core in $(seq $(nproc)); do while :; do :; done & done; wait');
    await untilFires('cpu', 'online', /^busy: cpu /);
    await cancel(job);
  });

  it('memory: a process that takes more and more', async () => {
    const script = `const all = []; setInterval(() => { if (all.length < ${MEMORY_STEPS}) all.push(Buffer.alloc(${MEMORY_STEP}, 1)); }, 100)`;
    const job = await inBackground(`${process.execPath} -e '${script}'`);
    await untilFires('memory', 'limited', /^memory /);
    await cancel(job);
  });

  it('disk: full to the last block; over when there is room again', async () => {
    assert.equal((await world.fleet(['run', 'node-1', fill])).code, 0);
    await untilFires('disk', 'limited', /^disk /);
    assert.match((await alertOf('disk'))?.summary ?? '', /^fullest disk \d/);
    assert.equal((await world.fleet(['run', 'node-1', free])).code, 0);
    await untilOver('disk');
  });

  it('SIGSTOP of the agent: offline although its connection stands; over when it goes on', async () => {
    node.child.kill('SIGSTOP');
    await untilFires('away', 'offline', /^no heartbeat for /);
    node.child.kill('SIGCONT');
    await untilOver('away');
  });

  it('kill -9 of the agent: offline at once; over when it is back', async () => {
    await kill9(node);
    await untilFires('away', 'offline', /^no session$/);
    node = await world.startThrough(through, 'node-1');
    await untilOver('away');
  });

  it('the report tells of all of it', async () => {
    interface Report {
      nodes: { name: string; outages: number; incidents: { status: string; reasons: string[] }[] }[];
    }
    const report = await world.fleet(['health', 'report', '--since', '1h', '--format', 'json', '--exit-zero']);
    const [first] = (JSON.parse(report.text) as Report).nodes;
    assert.ok(first !== undefined && first.outages >= 1);
    const statuses = new Set(first.incidents.map(({ status }) => status));
    assert.ok(statuses.has('limited') && statuses.has('offline'), [...statuses].join());
  });
});
