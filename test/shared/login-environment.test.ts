import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { exactHome, loginEnvironment, loginShell, loginUmask, ownAccount } from '../../src/shared/login-environment.ts';
import { tempFolder } from '../support/temp-folder.ts';

const ANN = { name: 'ann', uid: 4_000_001, gid: 100, home: '/home/ann', shell: '/bin/sh' };
const IDENTITY = { HOME: '/home/ann', USER: 'ann', LOGNAME: 'ann', SHELL: '/bin/sh' };
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

test('a system without any of the files still gives an environment', (t) => {
  assert.deepEqual(loginEnvironment(ANN, tempFolder(t)), { ...IDENTITY, PATH: DEFAULT_PATH });
  assert.equal(loginUmask(tempFolder(t)), 0o022);
});

test('paths, locale and time zone are those of the system', (t) => {
  const etc = tempFolder(t);
  mkdirSync(path.join(etc, 'default'));
  writeFileSync(
    path.join(etc, 'login.defs'),
    '# ENV_PATH PATH=/no\nUMASK\t\t027\nENV_SUPATH PATH=/s:/bin\n  ENV_PATH\tPATH=/u:/bin\n',
  );
  writeFileSync(path.join(etc, 'default/locale'), 'LANG="de_DE.UTF-8"\nLC_TIME=C\n');
  assert.deepEqual(loginEnvironment(ANN, etc), { ...IDENTITY, PATH: '/u:/bin', LANG: 'de_DE.UTF-8', LC_TIME: 'C' });
  assert.equal(loginEnvironment({ ...ANN, uid: 0 }, etc).PATH, '/s:/bin');
  assert.equal(loginUmask(etc), 0o027);
  writeFileSync(
    path.join(etc, 'environment'),
    [
      '# comment',
      'PATH="/e:/bin"',
      "export TZ='Europe/Berlin' # where it stands",
      'LANG=C.UTF-8',
      'HOME=/forged',
      'USER=forged',
      'NO VARIABLE=1',
      '2ND=1',
      'EMPTY=',
      Buffer.from('LATIN=caf\xe9', 'latin1').toString('latin1'),
    ].join('\n'),
    'latin1',
  );
  assert.deepEqual(loginEnvironment(ANN, etc), {
    ...IDENTITY,
    PATH: '/e:/bin',
    TZ: 'Europe/Berlin',
    LANG: 'C.UTF-8',
    LC_TIME: 'C',
    EMPTY: '',
  });
  assert.equal(loginEnvironment({ ...ANN, uid: 0 }, etc).PATH, '/e:/bin');
});

test('a shell that lets nobody in, or is none, is replaced by /bin/sh', (t) => {
  const folder = tempFolder(t);
  const own = path.join(folder, 'shell');
  writeFileSync(own, '#!/bin/sh\n');
  for (const shell of ['', '/usr/sbin/nologin', '/sbin/nologin', '/bin/false', '/bin/sync', '/not/there', 'bash', own])
    assert.equal(loginShell({ shell }), '/bin/sh', shell);
  chmodSync(own, 0o755);
  assert.equal(loginShell({ shell: own }), own);
});

test('a umask that is none is the usual one', (t) => {
  const etc = tempFolder(t);
  for (const [text, umask] of [
    ['077', 0o077],
    ['0002', 0o002],
    ['77', 0o077],
    ['8', 0o022],
    ['u=rwx', 0o022],
  ] as const) {
    writeFileSync(path.join(etc, 'login.defs'), `UMASK ${text}\n`);
    assert.equal(loginUmask(etc), umask, text);
  }
});

test('the own account is that of the process, whatever its variables say; a home that is not UTF-8 is replaced', () => {
  const { HOME, USER } = process.env;
  try {
    process.env.HOME = '/forged';
    process.env.USER = 'forged';
    const account = ownAccount();
    assert.equal(account.uid, process.geteuid?.());
    assert.notEqual(account.home, '/forged');
    assert.notEqual(account.name, 'forged');
  } finally {
    Object.assign(process.env, { HOME, USER });
  }
  assert.equal(exactHome('/home/caf\ufffd'), '/');
});
