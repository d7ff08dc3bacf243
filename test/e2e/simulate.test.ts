import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

const SIMULATE = path.join(import.meta.dirname, '../../scripts/simulate.d/fleet.ts');

test('simulated nodes connect, answer a broadcast, and come back after a kill of the gateway', {
  timeout: 180_000,
}, () => {
  const args = [SIMULATE, '12', '--rest', '0', '--broadcasts', '1', '--storms', '1'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const figures = new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/: (?=[{\d])/, 2) as [string, string])
      .map(([what, json]) => [what, JSON.parse(json) as Record<string, number>]),
  );
  assert.equal(figures.get('first connects, ms')?.online, 12, stdout);
  assert.equal(figures.get('broadcast')?.runs, 12, stdout);
  assert.equal(figures.get('storm after kill -9, ms since ready')?.online, 12, stdout);
  assert.ok(Number(figures.get('at rest')?.rssMiB) > 0, stdout);
});
