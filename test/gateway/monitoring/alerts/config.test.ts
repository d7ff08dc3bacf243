import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveGatewayConfig } from '../../../../src/gateway/config.ts';
import { builtInRules } from '../../../../src/gateway/monitoring/alerts/config.ts';

const resolve = (alerts: unknown) => resolveGatewayConfig({ alerts }, {}, 'file').alerts;

test('each kind of condition, and the defaults of a rule', () => {
  const conditions: [object, object][] = [
    [{ status: 'offline' }, { status: 'offline' }],
    [
      { metric: 'cpuPct', above: 90 },
      { metric: 'cpuPct', above: 90 },
    ],
    [
      { metric: 'batteryPct', below: 0 },
      { metric: 'batteryPct', below: 0 },
    ],
    [{ diskFullWithin: '24h' }, { diskFullWithin: 86_400_000 }],
    [{ skew: '30s' }, { skew: 30_000 }],
    [{ flapping: 6 }, { flapping: 6 }],
    [{ clone: true }, { clone: true }],
    [{ tokenProblem: true }, { tokenProblem: true }],
  ];
  const { rules = [] } = resolve({ rules: conditions.map(([when], index) => ({ name: `r${index}`, when })) });
  assert.deepEqual(
    rules.map(({ when }) => when),
    conditions.map(([, expected]) => expected),
  );
  assert.deepEqual(rules[0], {
    name: 'r0',
    when: { status: 'offline' },
    forMs: 0,
    clearForMs: 0,
    severity: 'warning',
    on: null,
    notify: null,
  });
  assert.equal(rules[1]?.clearForMs, 60_000, 'a figure must stay clear for a while');
});

test('labels are a selector', () => {
  const when = { status: 'error' };
  const { rules = [] } = resolve({
    rules: [
      { name: 'a', when, on: { site: 'berlin', role: 'web' } },
      { name: 'b', when, on: '@role=db&@site=b*' },
      { name: 'c', when, on: {} },
    ],
  });
  assert.deepEqual(
    rules.map(({ on }) => on),
    ['@site=berlin&@role=web', '@role=db&@site=b*', '@all'],
  );
});

test('all faults are reported at once, with their places, and without any URL or secret', () => {
  const alerts = {
    rules: [
      { name: 'a', when: {} },
      { name: 'b', when: { status: 'offline', skew: '1s' } },
      { name: 'c', when: { metric: 'cpuPct' } },
      { name: 'd', when: { metric: 'cpuPct', above: 1, below: 2 } },
      { name: 'e', when: { status: 'online' } },
      { name: 'bad name', when: { clone: true } },
      { name: 'f', when: { clone: true }, on: '@nonsense' },
      { name: 'g', when: { skew: '1s', above: 3 } },
      { name: 'h', when: { tokenProblem: false } },
    ],
    notify: [
      { name: 'x', kind: 'webhook', url: 'ftp://SECRET.example/' },
      { name: 'y', kind: 'webhook', url: 'https://SECRET.example/', secret: 'SECRETSHORT' },
      { name: 'z', kind: 'ntfy', url: 'https://SECRET.example/' },
      { name: 'v', kind: 'command', command: [] },
      { name: 'w', kind: 'pigeon' },
      { name: 'u', kind: 'slack', url: 'https://SECRET.example/', token: 'SECRET' },
    ],
  };
  assert.throws(
    () => resolve(alerts),
    (error: Error & { code: string }) => {
      assert.equal(error.code, 'config_invalid');
      for (let index = 0; index < alerts.rules.length; index += 1) {
        assert.match(error.message, new RegExp(`gateway\\.alerts\\.rules\\.${index}\\b`));
      }
      for (let index = 0; index < alerts.notify.length; index += 1) {
        assert.match(error.message, new RegExp(`gateway\\.alerts\\.notify\\.${index}\\b`));
      }
      assert.doesNotMatch(error.message, /SECRET/);
      return true;
    },
  );
});

test('names are unique, and a rule notifies existing receivers only', () => {
  const when = { clone: true };
  const hook = { name: 'hook', kind: 'slack', url: 'https://example.org/' };
  for (const alerts of [
    {
      rules: [
        { name: 'a', when },
        { name: 'a', when },
      ],
    },
    { notify: [hook, hook] },
    { rules: [{ name: 'a', when, notify: ['hok'] }], notify: [hook] },
  ]) {
    assert.throws(() => resolve(alerts), { code: 'config_invalid' }, JSON.stringify(alerts));
  }
  assert.deepEqual(resolve({ rules: [{ name: 'a', when, notify: ['hook'] }], notify: [hook] }).rules?.[0]?.notify, [
    'hook',
  ]);
});

test('without rules the built-in ones apply, with the limits of the status; none for a limit that is off', () => {
  assert.equal(resolve({}).rules, undefined);
  assert.deepEqual(resolve({ rules: [] }).rules, []);
  const names = (limits: object) =>
    builtInRules({ memUsedPct: 90, diskUsedPct: 80, skew: 60_000, ...limits }).map(({ name }) => name);
  assert.deepEqual(names({}).length - names({ diskUsedPct: Number.POSITIVE_INFINITY }).length, 1);
  const disk = builtInRules({ memUsedPct: 90, diskUsedPct: 80, skew: 1 }).find(({ name }) => name === 'disk');
  assert.deepEqual(disk?.when, { metric: 'diskUsedPct', above: 80 });
});
