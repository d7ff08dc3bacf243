import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveGatewayConfig } from '../src/gateway/config.ts';
import { resolveNodeConfig } from '../src/node/config.ts';

const HOUR_MS = 3_600_000;
/** Timers of Node that are given more than this fire at once, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Options whose times are compared with the clock, and given to no timer. */
const KEPT = [
  'heartbeatRetention',
  'fiveMinuteRetention',
  'hourlyRetention',
  'retention',
  'auditRetention',
  'keyGrace',
  'ephemeralGrace',
  'thresholds.skew',
  'thresholds.eventLoopLag',
];

type Resolve = (section: object) => object;
const SECTIONS: readonly [string, Resolve][] = [
  ['gateway', (section) => resolveGatewayConfig(section, {}, 'file')],
  ['node', (section) => resolveNodeConfig(section, {}, 'file')],
];

/** `{a: {b: value}}` for `a.b`. */
function sectionOf(option: string, value: unknown): object {
  return option.split('.').reduceRight((inner: unknown, name) => ({ [name]: inner }), value) as object;
}

function readOption(config: unknown, option: string): unknown {
  return option.split('.').reduce((value, name) => (value as Record<string, unknown>)[name], config);
}

function optionsOf(config: object, prefix = ''): string[] {
  return Object.entries(config).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? optionsOf(value, `${prefix}${name}.`)
      : [`${prefix}${name}`],
  );
}

/** Whether an hour of it is an hour. */
function isDuration(resolve: Resolve, option: string): boolean {
  try {
    return readOption(resolve(sectionOf(option, '1h')), option) === HOUR_MS;
  } catch {
    return false;
  }
}

test('every duration has an end, told with its place, and those for timers end before a timer overflows', () => {
  const found: string[] = [];
  for (const [name, resolve] of SECTIONS) {
    for (const option of optionsOf(resolve({})).filter((each) => isDuration(resolve, each))) {
      found.push(`${name}.${option}`);
      const where = new RegExp(`${name}\\.${option}: (must be at most \\d+[hd]|forever, or a duration)`);
      assert.throws(() => resolve(sectionOf(option, '36501d')), { code: 'config_invalid', message: where });
      if (KEPT.includes(option)) continue;
      const most = `${MAX_TIMER_MS}ms`;
      assert.throws(() => resolve(sectionOf(option, most)), { code: 'config_invalid' }, `${name}.${option}`);
    }
  }
  for (const known of [
    'node.keepaliveInterval',
    'node.killGrace',
    'gateway.ssh.rekeyInterval',
    'gateway.alerts.groupWait',
  ]) {
    assert.ok(found.includes(known), `${known} among ${found}`);
  }
  assert.ok(found.length >= 19, String(found));
});

test('durations inside of lists have an end, too', () => {
  const rule = { name: 'x', when: { clone: true } };
  const wrong: object[] = [
    { alerts: { rules: [{ ...rule, for: '36501d' }] } },
    { alerts: { rules: [{ ...rule, clearFor: '36501d' }] } },
    { alerts: { rules: [{ name: 'x', when: { skew: '36501d' } }] } },
    { alerts: { rules: [{ name: 'x', when: { diskFullWithin: '36501d' } }] } },
    { alerts: { notify: [{ name: 'x', kind: 'command', command: ['true'], timeout: '61m' }] } },
  ];
  for (const section of wrong) {
    assert.throws(
      () => resolveGatewayConfig(section, {}, 'file'),
      { message: /must be at most/ },
      JSON.stringify(section),
    );
  }
  const agents = { coder: { command: ['coder'], timeout: '36501d' } };
  assert.throws(() => resolveNodeConfig({ agents }, {}, 'file'), {
    message: /node\.agents\.coder\.timeout: must be at most/,
  });
});
