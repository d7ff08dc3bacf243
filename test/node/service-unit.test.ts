import assert from 'node:assert/strict';
import { test } from 'node:test';
import { warnOfKillMode } from '../../src/node/main.ts';

interface Case {
  name: string;
  cgroups: string;
  mode: string;
  asked: string[] | undefined;
  warns: boolean;
}

const cases: Case[] = [
  {
    name: 'a system unit',
    cgroups: '0::/system.slice/fleet.service\n',
    mode: 'control-group',
    asked: ['fleet.service'],
    warns: true,
  },
  { name: 'mixed', cgroups: '0::/system.slice/fleet.service\n', mode: 'mixed', asked: ['fleet.service'], warns: true },
  {
    name: 'as it should be',
    cgroups: '0::/system.slice/fleet.service\n',
    mode: 'process',
    asked: ['fleet.service'],
    warns: false,
  },
  { name: 'none', cgroups: '0::/system.slice/fleet.service\n', mode: 'none', asked: ['fleet.service'], warns: false },
  {
    name: "a user's unit",
    cgroups: '0::/user.slice/user-1000.slice/user@1000.service/app.slice/fleet.service\n',
    mode: 'control-group',
    asked: ['--user', 'fleet.service'],
    warns: true,
  },
  {
    name: 'below the unit',
    cgroups: '0::/system.slice/fleet@a.service/payload\n',
    mode: 'control-group',
    asked: ['fleet@a.service'],
    warns: true,
  },
  {
    name: 'version 1 beside version 2',
    cgroups: '4:memory:/system.slice\n1:name=systemd:/system.slice/fleet.service\n0::/\n',
    mode: 'control-group',
    asked: ['fleet.service'],
    warns: true,
  },
  {
    name: 'a session',
    cgroups: '0::/user.slice/user-0.slice/session-3.scope\n',
    mode: 'control-group',
    asked: undefined,
    warns: false,
  },
  {
    name: 'a user manager itself',
    cgroups: '0::/user.slice/user-1000.slice/user@1000.service/init.scope\n',
    mode: 'mixed',
    asked: undefined,
    warns: false,
  },
  { name: 'no systemd', cgroups: '0::/\n', mode: 'control-group', asked: undefined, warns: false },
  { name: 'no Linux', cgroups: '', mode: 'control-group', asked: undefined, warns: false },
];

for (const { name, cgroups, mode, asked, warns } of cases) {
  test(`warns about a unit that would end commands: ${name}`, async () => {
    let given: readonly string[] | undefined;
    const warning = await warnOfKillMode(cgroups, async (file, args) => {
      assert.equal(file, 'systemctl');
      given = args.filter((arg) => !['show', '--property=KillMode', '--value'].includes(arg));
      return { exitCode: 0, stdout: `${mode}\n`, stderr: '' };
    });
    assert.deepEqual(given, asked);
    assert.equal(warning !== undefined, warns);
    if (warns) assert.match(warning ?? '', /KillMode=process/);
  });
}

test('a missing or failing systemctl causes no warning', async () => {
  const failing = async () => ({ exitCode: undefined, stdout: '', stderr: '' });
  assert.equal(await warnOfKillMode('0::/system.slice/fleet.service\n', failing), undefined);
});
