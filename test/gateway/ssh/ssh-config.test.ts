import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveGatewayConfig } from '../../../src/gateway/config.ts';
import { PORT_LIMITS, type PortLimits } from '../../../src/gateway/ssh/admission.ts';
import { sshLimitsOf } from '../../../src/gateway/ssh/ssh-config.ts';

function limitsOf(ssh: object): Partial<PortLimits> {
  return sshLimitsOf(resolveGatewayConfig({ ssh }, {}, 'file').ssh);
}

test('without a configuration every limit is its default', () => {
  assert.deepEqual({ ...PORT_LIMITS, ...limitsOf({}) }, PORT_LIMITS);
});

test('each option moves its limit, and no other', () => {
  const options: [string, number | string, Partial<PortLimits>][] = [
    ['maxUnauthenticated', 1, { maxUnauthenticated: 1 }],
    ['maxUnauthenticatedPerAddress', 1, { maxUnauthenticatedPerAddress: 1 }],
    ['maxConnections', 1, { maxConnections: 1 }],
    ['maxConnectionsPerKey', 2, { maxConnectionsPerKey: 2 }],
    ['loginGrace', '3s', { graceMs: 3_000 }],
    ['crowdedGrace', '1s', { crowdedGraceMs: 1_000 }],
    ['maxAuthRequests', 1, { maxAuthEvents: 1 }],
    ['maxUnauthenticatedBytes', 16_384, { maxUnauthenticatedBytes: 16_384 }],
    ['maxUnreadBytes', 8_388_608, { transmitKillBytes: 8_388_608 }],
    ['rekeyBytes', 1_048_576, { rekeyBytes: 1_048_576 }],
    ['rekeyInterval', '1m', { rekeyIntervalMs: 60_000 }],
    ['rekeysPerSecond', 0.1, { rekeysPerSecond: 0.1 }],
    ['rekeyBurst', 1, { rekeyBurst: 1 }],
    ['channelOpenTimeout', '1s', { openTimeoutMs: 1_000 }],
    ['keepaliveInterval', '1s', { keepaliveIntervalMs: 1_000 }],
    ['keepaliveCountMax', 1, { keepaliveCountMax: 1 }],
  ];
  assert.deepEqual(options.map(([name]) => name).sort(), Object.keys(resolveGatewayConfig({}, {}, 'file').ssh).sort());
  for (const [name, value, limits] of options) {
    assert.deepEqual({ ...PORT_LIMITS, ...limitsOf({ [name]: value }) }, { ...PORT_LIMITS, ...limits }, name);
  }
});

test('limits that nobody honest could keep are refused', () => {
  const wrong: object[] = [
    { maxUnauthenticated: 0 },
    { maxUnauthenticatedPerAddress: 0 },
    { maxConnections: 0 },
    { maxConnectionsPerKey: 1 },
    { loginGrace: 0 },
    { crowdedGrace: 0 },
    { maxAuthRequests: 0 },
    { maxUnauthenticatedBytes: 16_383 },
    { maxUnreadBytes: 8_388_607 },
    { rekeyBytes: 1_048_575 },
    { rekeyInterval: 0 },
    { rekeysPerSecond: 0 },
    { rekeyBurst: 0 },
    { channelOpenTimeout: 0 },
    { keepaliveInterval: 0 },
    { keepaliveInterval: '61m' },
    { loginGrace: '61m' },
    { crowdedGrace: '61m' },
    { channelOpenTimeout: '61m' },
    { rekeyInterval: '8d' },
    { keepaliveCountMax: 0 },
    { keepaliveCountMax: 11 },
    { maxPacketBytes: 1 },
  ];
  for (const ssh of wrong) assert.throws(() => limitsOf(ssh), { code: 'config_invalid' }, JSON.stringify(ssh));
});
