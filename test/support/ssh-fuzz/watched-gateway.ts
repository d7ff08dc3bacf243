/** A real `fleet gateway up` that tells how it feels. Needs `node scripts/build.ts`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type FleetWorld, until } from '../fleet-processes.ts';
import { TargetProcess } from './target-process.ts';

const FLEET = path.resolve(import.meta.dirname, '../../../dist/fleet.cjs');
/** For a machine that is ten times slower than most. */
const READY_MS = 30_000;

/** Starts it in the world's home, and lets the world know its port; stop it before the world is closed. */
export async function startWatchedGateway(world: FleetWorld, config = ''): Promise<TargetProcess> {
  mkdirSync(world.home, { mode: 0o700 });
  writeFileSync(path.join(world.home, 'config.yaml'), config, { mode: 0o600 });
  const { target } = await TargetProcess.start(FLEET, {
    args: ['gateway', 'up', '--listen', '127.0.0.1:0'],
    preload: new URL('./watch-preload.ts', import.meta.url),
    env: { FLEET_HOME: world.home },
  });
  try {
    await until(async () => (await world.fleet(['gateway', 'status'])).code === 0, 'the gateway is up', READY_MS);
    world.port = (await world.json<{ listen: { port: number } }>(['gateway', 'status', '--json'])).listen.port;
    return target;
  } catch (error) {
    await target.stop();
    throw error;
  }
}
