import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, parseAddress, parseDialAddress } from '../../src/shared/address.ts';

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

test('what came along when an address was pasted is no part of it', () => {
  for (const text of ['\ufeffgw:1', ' gw:1\r\n', '\u00a0gw:1\u200b', '“gw:1”', "'gw:1'", '\u202agw:1\u202c'])
    assert.deepEqual(parseAddress(text, 22), { host: 'gw', port: 1 }, JSON.stringify(text));
});

test('a character that cannot be in an address is shown, and a bare number is told to be no host', () => {
  for (const [text, message] of [
    ['vps\u2013one:1', /: U\+2013 EN DASH at position 4$/],
    ['v\u200bps', /: U\+200B ZERO WIDTH SPACE at position 2$/],
    ['gw\u00a0:22', /: U\+00A0 NO-BREAK SPACE at position 3$/],
    ['gw\uff1a22', /: U\+FF1A FULLWIDTH COLON at position 3$/],
    ['gw/', /: "\/" at position 3$/],
    ['22', /only a number/],
    ['0', /only a number/],
    [' 18790\n', /only a number/],
  ] as const)
    assert.throws(() => parseAddress(text, 22), { code: 'usage', message }, JSON.stringify(text));
  assert.throws(() => parseAddress('22', 22), { hint: 'Write a port as :22 (all interfaces) or HOST:22.' });
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

test('who dials needs a host and a port; who listens does not', () => {
  for (const text of [':22', '0.0.0.0', '0.0.0.0:22', '::', '[::]:22', '0:0::0', 'gw:0', '[::1]:0', '1.2.3.4:0']) {
    assert.ok(parseAddress(text, 22), text);
    assert.throws(() => parseDialAddress(text, 22), {
      code: 'usage',
      message: `not an address that can be dialed: "${text}"`,
    });
  }
  assert.throws(() => parseDialAddress('22', 22), { message: /only a number/ });
  for (const text of ['gw', '::1', '[::1]:22', '10.0.0.0', '1::', 'gw:1'])
    assert.deepEqual(parseDialAddress(text, 22), parseAddress(text, 22));
});
