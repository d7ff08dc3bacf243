import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, parseAddress } from '../../src/shared/address.ts';

test('addresses as people write them', () => {
  const table: [string, string, number][] = [
    ['example.org', 'example.org', 22],
    ['example.org:2200', 'example.org', 2200],
    [':8080', '0.0.0.0', 8080],
    ['1.2.3.4:0', '1.2.3.4', 0],
    ['::1', '::1', 22],
    ['::', '::', 22],
    ['[::1]:2200', '::1', 2200],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8', 22],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4', 22],
    ['fe80::1%eth0', 'fe80::1%eth0', 22],
    ['[fe80::1%eth0]:2200', 'fe80::1%eth0', 2200],
  ];
  for (const [text, host, port] of table) assert.deepEqual(parseAddress(text, 22), { host, port }, text);
});

test('what is no address is refused', () => {
  for (const text of [
    '',
    ' ',
    'a b',
    'host:',
    'host:x',
    'host:65536',
    '-oProxyCommand=x',
    '[::1',
    '[zz]:1',
    '[]',
    '1:2:3',
  ]) {
    assert.throws(() => parseAddress(text, 22), { code: 'usage' }, text);
  }
});

test('an address that is written is read back', () => {
  const host = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(host, fc.integer({ min: 0, max: 65_535 }), (name, port) => {
      assert.deepEqual(parseAddress(formatAddress({ host: name, port }), 1), { host: name, port });
    }),
  );
});
