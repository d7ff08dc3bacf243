import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configPath, gatewayPaths, nodePaths } from '../../src/shared/home.ts';

test('two homes share no path', () => {
  const of = (home: string) => [
    configPath(home),
    ...Object.values(gatewayPaths(home)),
    ...Object.values(nodePaths(home, 'n')),
  ];
  const shared = of('/a').filter((path) => of('/b').includes(path));
  assert.deepEqual(shared, []);
  assert.equal(new Set(of('/a')).size, of('/a').length);
});

test('a socket path that the kernel would cut is refused, in bytes, not characters', () => {
  const homeOf = (bytes: number) => `/${'x'.repeat(bytes - '//gateway.sock'.length)}`;
  assert.equal(Buffer.byteLength(gatewayPaths(homeOf(103)).socket), 103);
  assert.throws(() => gatewayPaths(homeOf(108)), { code: 'config_invalid' });
  assert.throws(() => gatewayPaths(`/${'ü'.repeat(50)}`), { code: 'config_invalid' });
  assert.throws(() => nodePaths(homeOf(100), 'a-profile'), { code: 'config_invalid' });
});
