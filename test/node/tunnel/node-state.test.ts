import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { chooseProfile, listProfiles } from '../../../src/node/profiles.ts';
import { type NodeState, NodeStateFile } from '../../../src/node/tunnel/node-state.ts';
import { nodePaths } from '../../../src/shared/home.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const state: NodeState = {
  version: 1,
  gateway: { host: 'gw', port: 1 },
  hostKey: 'aGk=',
  pairing: { id: 'i', name: 'web', token: 't', tokenIssuedAt: 1, tokenExpiresAt: 2, signingKeys: ['k'] },
};

test('what was saved is there after a restart, in a private file', (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'state.json');
  const first = new NodeStateFile(file);
  assert.equal(first.current, undefined);
  first.save(state);
  assert.deepEqual(first.current, state);
  assert.deepEqual(new NodeStateFile(file).current, state);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder), ['state.json']);
});

test('a save that fails changes nothing, neither on disk nor in memory', (t) => {
  const folder = path.join(tempFolder(t), 'gone');
  mkdirSync(folder, { mode: 0o700 });
  const file = new NodeStateFile(path.join(folder, 'missing', 'state.json'));
  assert.throws(() => file.save(state), { code: 'storage_failed' });
  assert.equal(file.current, undefined);
});

test('a change that the disk refuses still counts in this process', (t) => {
  const folder = path.join(tempFolder(t), 'full');
  mkdirSync(folder, { mode: 0o700 });
  const target = path.join(folder, 'state.json');
  const file = new NodeStateFile(target);
  const known = (): NodeState | undefined => file.current;
  file.change({ epoch: 'too early' }, silentLogger);
  assert.equal(known(), undefined);
  file.save(state);
  renameSync(folder, `${folder}-away`);
  file.change({ epoch: '2-b' }, silentLogger);
  file.changePairing({ signingKeys: ['k2'] }, silentLogger);
  assert.deepEqual([known()?.epoch, known()?.pairing?.signingKeys], ['2-b', ['k2']]);
  renameSync(`${folder}-away`, folder);
  assert.deepEqual(new NodeStateFile(target).current, state);
  file.changePairing({ name: 'web-2' }, silentLogger);
  assert.deepEqual(new NodeStateFile(target).current, file.current, 'the next change writes all of it');
});

test('a damaged or open state file is refused, not overwritten', (t) => {
  const file = path.join(tempFolder(t), 'state.json');
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    JSON.stringify({ ...state, version: 2 }),
    JSON.stringify({ ...state, pairing: {} }),
  ]) {
    writeFileSync(file, text, { mode: 0o600 });
    assert.throws(() => new NodeStateFile(file), { code: 'config_invalid' }, text);
  }
  chmodSync(file, 0o644);
  assert.throws(() => new NodeStateFile(file), { code: 'home_insecure' });
});

function makeProfile(home: string, name: string, gatewayName?: string): void {
  const paths = nodePaths(home, name);
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  if (gatewayName === undefined || state.pairing === undefined) return;
  new NodeStateFile(paths.state).save({ ...state, pairing: { ...state.pairing, name: gatewayName } });
}

test('the profile is chosen by name, pairing and machine', (t) => {
  const home = tempFolder(t);
  assert.deepEqual(listProfiles(home), []);
  assert.equal(chooseProfile(home, undefined, "Ann's Laptop.local"), 'ann-s-laptop');
  assert.equal(chooseProfile(home, 'web', 'host'), 'web');
  makeProfile(home, 'host', 'prod-1');
  writeFileSync(path.join(home, 'nodes', 'a-file'), '');
  assert.deepEqual(listProfiles(home), ['host']);
  assert.equal(chooseProfile(home, undefined, 'renamed'), 'host');
  assert.equal(chooseProfile(home, 'prod-1', 'renamed'), 'host', "the gateway's name of it");
  assert.equal(chooseProfile(home, 'other', 'renamed'), 'other');
  makeProfile(home, 'prod-1');
  assert.equal(chooseProfile(home, 'prod-1', 'x'), 'prod-1', 'its own name comes first');
  assert.equal(chooseProfile(home, undefined, 'x'), 'host', 'the other was never let in');
  makeProfile(home, 'prod-1', 'prod-2');
  assert.throws(() => chooseProfile(home, undefined, 'x'), { code: 'usage', message: /host, prod-1/ });
  assert.throws(() => chooseProfile(home, 'prod-1', 'x'), { code: 'ambiguous', message: /folder of one node/ });
  makeProfile(home, 'refused');
  assert.throws(() => chooseProfile(home, undefined, 'x'), { code: 'usage', message: /host, prod-1/ });
});
