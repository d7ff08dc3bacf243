import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offlineAfterMs, resolveGatewayConfig } from '../../src/gateway/config.ts';
import { resolveNodeConfig } from '../../src/node/config.ts';

test('a gateway runs without any configuration', () => {
  const config = resolveGatewayConfig(undefined, {}, 'file');
  assert.deepEqual(config.listen, { host: '0.0.0.0', port: 18_790 });
  assert.equal(config.api, undefined);
  assert.equal(offlineAfterMs(config), 90_000);
  assert.equal(config.ssh.keepaliveInterval, 10_000);
  assert.deepEqual([config.maxOutputBytes, config.retention], [64 * 1024 * 1024, 30 * 86_400_000]);
});

test('a threshold can be off', () => {
  const { thresholds } = resolveGatewayConfig({ thresholds: { cpuPct: 'off', temperatureC: 'off' } }, {}, 'file');
  assert.deepEqual([thresholds.cpuPct, thresholds.temperatureC], [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
});

test('intervals of nothing, and limits that mean nothing, are refused', () => {
  const wrong: object[] = [
    { heartbeatInterval: 0 },
    { heartbeatInterval: '0s' },
    { concurrencyPerNode: 0 },
    { ssh: { keepaliveInterval: '0' } },
    { ssh: { loginGrace: 0 } },
    { ssh: { maxConnections: 0 } },
    { thresholds: { cpuPct: 101 } },
    { thresholds: { unknown: 1 } },
    { logLevel: 'loud' },
    { listen: 'a b' },
    { maxOutputBytes: 1023 },
    { retention: 0 },
  ];
  for (const section of wrong) {
    assert.throws(() => resolveGatewayConfig(section, {}, 'file'), { code: 'config_invalid' }, JSON.stringify(section));
  }
});

test('what others are to dial names a host and a port', () => {
  for (const address of [':22', '0.0.0.0:22', '[::]:22', 'gw:0', ':0']) {
    const error = { code: 'config_invalid', message: /can be dialed/ };
    assert.throws(() => resolveNodeConfig({ gateway: address }, {}, 'file'), error, address);
    assert.throws(() => resolveGatewayConfig({ advertise: address }, {}, 'file'), error, address);
    resolveGatewayConfig({ listen: address, api: address.replace(/.*:/, '127.0.0.1:') }, {}, 'file');
  }
  assert.equal(resolveGatewayConfig({ advertise: ' gw:7\n' }, {}, 'file').advertise, 'gw:7');
});

test('a node: its options and what it refuses', () => {
  const config = resolveNodeConfig({ labels: { a: '1' }, killGrace: '0s' }, { gateway: 'gw.example' }, 'file');
  assert.deepEqual(config.gateway, { host: 'gw.example', port: 18_790 });
  assert.equal(config.killGrace, 0);
  for (const section of [
    { name: 'Bad Name' },
    { labels: { 'a b': '' } },
    { shell: 'bash' },
    { keepaliveInterval: 0 },
    { maxSpoolBytes: 0 },
    { maxOutputBytes: 0 },
    { retention: 'soon' },
    { token: 'x' },
  ]) {
    assert.throws(() => resolveNodeConfig(section, {}, 'file'), { code: 'config_invalid' }, JSON.stringify(section));
  }
});
