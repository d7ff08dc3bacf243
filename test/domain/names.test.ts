import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { labelsSchema, nodeNameSchema } from '../../src/domain/names.ts';
import { sanitizeName } from '../../src/domain/vocabulary.ts';

test('names of nodes', () => {
  for (const name of ['a', 'web-1', 'n.example', '9', 'x'.repeat(63)])
    assert.ok(nodeNameSchema.safeParse(name).success, name);
  for (const name of ['', '-a', 'a-', '.', '..', 'A', 'a b', 'a/b', 'a\n', 'ä', 'x'.repeat(64), '@online']) {
    assert.equal(nodeNameSchema.safeParse(name).success, false, name);
  }
});

test('a legal name comes out of whatever a machine calls itself', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.domain(),
        fc.string({ unit: fc.constantFrom('-', '.', 'a', 'Ä', 'İ') }),
      ),
      (hostname) => {
        const name = sanitizeName(hostname);
        assert.ok(nodeNameSchema.safeParse(name).success, `${hostname} → ${name}`);
        assert.equal(sanitizeName(name), name.split('.')[0]);
      },
    ),
  );
  assert.equal(sanitizeName("Ann's MacBook Pro.local"), 'ann-s-macbook-pro');
  assert.equal(sanitizeName('---'), 'node');
});

test('labels', () => {
  const fits = (labels: unknown): boolean => labelsSchema.safeParse(labels).success;
  assert.ok(fits({ 'app.example/tier': 'web', empty: '', v: '1.2:3@x+y/z' }));
  assert.ok(fits(Object.fromEntries([...Array(64)].map((_, n) => [`k${n}`, '']))));
  assert.equal(fits(Object.fromEntries([...Array(65)].map((_, n) => [`k${n}`, '']))), false);
  for (const key of ['', '-a', 'a b', 'x'.repeat(64)])
    assert.equal(fits(JSON.parse(`{${JSON.stringify(key)}:"v"}`)), false, key);
  for (const value of ['a b', 'x'.repeat(129), '\u001b[0m', 'ä', 'a,b', 'a=b'])
    assert.equal(fits({ k: value }), false, value);
});
