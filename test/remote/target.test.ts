import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseTarget } from '../../src/remote/connect.ts';
import { formatAddress } from '../../src/shared/address.ts';

test('a gateway is named as for ssh', () => {
  const cases: [string, string, string, number][] = [
    ['gw.example.org', 'fleet', 'gw.example.org', 18_790],
    ['anna@gw.example.org:2222', 'anna', 'gw.example.org', 2222],
    ['anna@[2001:db8::1]:22', 'anna', '2001:db8::1', 22],
    ['2001:db8::1', 'fleet', '2001:db8::1', 18_790],
  ];
  for (const [text, user, host, port] of cases) {
    assert.deepEqual(parseTarget(text), { user, address: { host, port } }, text);
  }
});

test('what cannot be dialled is refused', () => {
  for (const text of [
    '',
    '@',
    'anna@',
    '@gw',
    'a b@gw',
    '-o@gw',
    ':22',
    '0.0.0.0',
    '[::]:22',
    'gw:0',
    'gw:99999',
    '-gw',
  ]) {
    assert.throws(() => parseTarget(text), { code: 'usage' }, text);
  }
});

test('whatever is typed is either refused as wrong usage or means one address', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.tuple(fc.string(), fc.domain()).map((parts) => parts.join('@')),
      ),
      (text) => {
        let target: ReturnType<typeof parseTarget>;
        try {
          target = parseTarget(text);
        } catch (error) {
          assert.equal((error as { code: string }).code, 'usage');
          return;
        }
        assert.deepEqual(parseTarget(`${target.user}@${formatAddress(target.address)}`), target);
      },
    ),
  );
});
