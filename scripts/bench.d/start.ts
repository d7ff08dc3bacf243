/** How long a person waits for the smallest command: `fleet run NODE true` against a fresh `ssh HOST true`, in turns, on one machine. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FleetWorld } from '../../test/support/fleet-processes.ts';
import { startStockSshd } from './stock-sshd.ts';

const ROUNDS = Number(process.argv[2] ?? 40);
const FLEET = path.resolve(import.meta.dirname, '../fleet');

const folder = mkdtempSync(path.join(tmpdir(), 'fleet-bench-'));
const world = await FleetWorld.create();
const sshd = await startStockSshd(folder);
try {
  await world.startGateway();
  await world.startNode('node-1');
  const laptop = path.join(world.folder, 'laptop');
  const { code } = await world.json<{ code: string }>(['invite', '--role', 'operator', '--json']);
  await world.fleet(['login', `127.0.0.1:${world.port}`, '--code', code], { home: laptop });
  const subjects: Record<string, () => void> = {
    'node -e 0': () => run(process.execPath, ['-e', '0']),
    'ssh host true': () => run('ssh', [...sshd.clientArgs, 'true']),
    'ssh host true (plain curve25519)': () =>
      run('ssh', ['-o', 'KexAlgorithms=curve25519-sha256', ...sshd.clientArgs, 'true']),
    'fleet run node-1 true': () => run(FLEET, ['run', 'node-1', 'true']),
    'fleet run node-1 true (over SSH)': () => run(FLEET, ['--home', laptop, 'run', 'node-1', 'true']),
    'fleet version': () => run(FLEET, ['version']),
  };
  const times = new Map(Object.keys(subjects).map((name) => [name, [] as number[]]));
  for (let round = -3; round < ROUNDS; round += 1) {
    // In turns, so that what disturbs the machine disturbs all of them.
    for (const [name, work] of Object.entries(subjects)) {
      const begun = performance.now();
      work();
      if (round >= 0) times.get(name)?.push(performance.now() - begun);
    }
  }
  const base = median(times.get('ssh host true') ?? []);
  for (const [name, list] of times) {
    console.log(
      `${name.padEnd(36)} median ${median(list).toFixed(1).padStart(7)} ms   ${(median(list) / base).toFixed(2)} of ssh`,
    );
  }
} finally {
  sshd.stop();
  await world.close();
  rmSync(folder, { recursive: true, force: true });
}

function run(command: string, args: string[]): void {
  const { status, stderr } = spawnSync(command, args, {
    env: { ...process.env, FLEET_HOME: world.home },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr}`);
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
