import assert from 'node:assert/strict';
import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { type Login, Logins } from '../../src/remote/logins.ts';
import { personPaths } from '../../src/shared/home.ts';
import { tempFolder } from '../support/temp-folder.ts';

const LOGIN: Login = {
  version: 1,
  gateway: { host: 'gw.example.org', port: 18_790 },
  hostKey: 'AAAA',
  id: 'abc',
  name: 'anna',
  role: 'operator',
  token: 'e.y.J',
  tokenIssuedAt: 0,
  tokenExpiresAt: 86_400_000,
  savedAt: 1,
};

test('what was saved is read, each gateway apart, in files that nobody else may read', (t) => {
  const home = path.join(tempFolder(t), 'home');
  const logins = new Logins(home);
  const other = { ...LOGIN, gateway: { host: '2001:db8::1', port: 22 }, name: 'bob' };
  assert.equal(logins.read(LOGIN.gateway), undefined);
  assert.equal(logins.default, undefined);
  logins.save(LOGIN);
  logins.save(other);
  logins.setDefault(other.gateway);
  assert.deepEqual(new Logins(home).read(LOGIN.gateway), LOGIN);
  assert.deepEqual(new Logins(home).read(other.gateway), other);
  assert.equal(new Logins(home).default, '[2001:db8::1]:22');
  const { logins: folder } = personPaths(home);
  for (const file of readdirSync(folder)) assert.equal(statSync(path.join(folder, file)).mode & 0o777, 0o600, file);
});

test('a gateway is forgotten, and with it that it was the default', (t) => {
  const logins = new Logins(path.join(tempFolder(t), 'home'));
  logins.save(LOGIN);
  logins.setDefault(LOGIN.gateway);
  assert.equal(logins.remove({ host: 'elsewhere', port: 1 }), false);
  assert.equal(logins.default, 'gw.example.org:18790');
  assert.equal(logins.remove(LOGIN.gateway), true);
  assert.deepEqual([logins.default, logins.read(LOGIN.gateway)], [undefined, undefined]);
});

test('a damaged file, another gateway’s file and an open file are refused', (t) => {
  const home = path.join(tempFolder(t), 'home');
  const logins = new Logins(home);
  logins.save(LOGIN);
  const file = path.join(personPaths(home).logins, readdirSync(personPaths(home).logins)[0] ?? '');
  const without = Object.keys(LOGIN).map((key) => ({ ...LOGIN, [key]: undefined }));
  const damaged = [
    '',
    '{',
    'null',
    '[]',
    ...[...without, { ...LOGIN, role: 'node' }].map((one) => JSON.stringify(one)),
  ];
  for (const text of [...damaged, JSON.stringify({ ...LOGIN, gateway: { host: 'evil', port: 1 } })]) {
    writeFileSync(file, text);
    assert.throws(() => logins.read(LOGIN.gateway), { code: 'config_invalid' }, text);
  }
  chmodSync(file, 0o644);
  assert.throws(() => logins.read(LOGIN.gateway), { code: 'home_insecure' });
});
