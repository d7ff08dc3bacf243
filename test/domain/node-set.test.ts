import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { expandTerm, foldNodeNames, MAX_NODE_SET_SIZE, splitTerms } from '../../src/domain/node-set.ts';
import { FleetError } from '../../src/shared/errors.ts';

/** The names of a node set, each once, in the order in which they are written. */
function parseNodeSet(text: string): string[] {
  const names = new Set<string>();
  for (const term of splitTerms(text, ',')) {
    for (const name of expandTerm(text, term, { limit: MAX_NODE_SET_SIZE - names.size })) names.add(name);
  }
  return [...names];
}

const EXPANSIONS: [string, string[]][] = [
  ['db-1', ['db-1']],
  ['web-[1-3],db-1', ['web-1', 'web-2', 'web-3', 'db-1']],
  ['n[08-11]', ['n08', 'n09', 'n10', 'n11']],
  ['n[098-101]', ['n098', 'n099', 'n100', 'n101']],
  ['n[0-2]', ['n0', 'n1', 'n2']],
  ['n[1-9/2]', ['n1', 'n3', 'n5', 'n7', 'n9']],
  ['n[1-10/4]', ['n1', 'n5', 'n9']],
  ['n[1-3,7]', ['n1', 'n2', 'n3', 'n7']],
  ['n[1, 3]', ['n1', 'n3']],
  ['r[1-2]n[1-2].eu', ['r1n1.eu', 'r1n2.eu', 'r2n1.eu', 'r2n2.eu']],
  ['[1-2]', ['1', '2']],
  [' a , b ', ['a', 'b']],
  ['a,a,a[1,1]', ['a', 'a1']],
];

for (const [text, names] of EXPANSIONS) {
  test(`${text} expands`, () => assert.deepEqual(parseNodeSet(text), names));
}

/** Text, and the character (from 1) that the error must point at. */
const FAULTS: [string, number][] = [
  ['', 1],
  ['a,,b', 3],
  ['a,', 3],
  ['web-[1-20', 5],
  ['web-1-20]', 9],
  ['web-[1[2]]', 7],
  ['web-[]', 6],
  ['web-[a-3]', 6],
  ['web-[1,,3]', 8],
  ['web-[1-3,5-x]', 10],
  ['web-[5-1]', 6],
  ['web-[1-5/0]', 6],
  ['web-[5/2]', 6],
  ['web-[1-010]', 6],
  ['web-[-1-3]', 6],
  ['web-[1-1234567890123456]', 6],
  ['web 1', 4],
  ['web-*', 5],
  ['../x', 3],
  ['a,wéb', 4],
];

for (const [text, position] of FAULTS) {
  test(`${JSON.stringify(text)} is refused at character ${position}`, () => {
    assert.throws(
      () => parseNodeSet(text),
      (error) => error instanceof FleetError && error.code === 'bad_selector' && error.facts?.position === position,
    );
  });
}

test('the size of a set is limited, before anything is expanded', () => {
  assert.equal(parseNodeSet(`n[1-${MAX_NODE_SET_SIZE}]`).length, MAX_NODE_SET_SIZE);
  for (const text of [
    `n[1-${MAX_NODE_SET_SIZE + 1}]`,
    'n[1-999999999999999]',
    'a[1-400]b[1-400]',
    `n[1-${MAX_NODE_SET_SIZE}],one-more`,
    'a[1-60000],b[1-60000]',
    `${'x'.repeat(300)}[1-3]`,
  ]) {
    assert.throws(() => parseNodeSet(text), { code: 'bad_selector' });
  }
});

const FOLDS: [string[], string][] = [
  [[], ''],
  [['node-1'], 'node-1'],
  [['node-7', 'node-1', 'node-3', 'node-2', 'node-2'], 'node-[1-3,7]'],
  [['node-1', 'node-2'], 'node-[1-2]'],
  [['web', 'node-10', 'node-9', 'db-1'], 'db-1,node-[9-10],web'],
  [['n08', 'n09', 'n10', 'n11'], 'n[08-11]'],
  [['n9', 'n09', 'n10'], 'n[09-10,9]'],
  [['n1', 'n001', 'n002', 'n2'], 'n[001-002,1-2]'],
  [['web-1.eu1', 'web-2.eu1', 'web-3.eu1'], 'web-[1-3].eu1'],
  [['web-1.eu1', 'web-2.eu1', 'web-1.eu2', 'web-2.eu2'], 'web-[1-2].eu[1-2]'],
  [['r1n1', 'r1n2', 'r2n7'], 'r1n[1-2],r2n7'],
  [['ip-10-0-0-4', 'ip-10-0-0-5', 'ip-10-0-0-6'], 'ip-10-0-0-[4-6]'],
  [['s12345678901234567', 's12345678901234568'], 's12345678901234567,s12345678901234568'],
  [['a,b', 'a*', 'n2', 'n1'], 'a*,a,b,n[1-2]'],
];

for (const [names, folded] of FOLDS) {
  test(`${names.join(' ')} folds to ${folded}`, () => assert.equal(foldNodeNames(names), folded));
}

const index = fc.oneof(
  fc.nat(12).map(String),
  fc.nat(120).map((number) => String(number).padStart(2, '0')),
  fc.constantFrom('009', '010', '099', '100', '999999999999999', '1000000000000000', '00'),
);
const shapes = fc.constantFrom('node-#', 'n#', 'r#n#', 'r#n#.eu#', '#', 'db', '#-#', 'a.b');
const name = fc
  .tuple(shapes, fc.tuple(index, index, index))
  .map(([shape, numbers]) => numbers.reduce((text, number) => text.replace('#', number), shape));

test('folded names parse back to the same set, in fewer or as many terms', () => {
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 60 }), (names) => {
      const folded = foldNodeNames(names);
      const back = parseNodeSet(folded);
      assert.equal(new Set(back).size, new Set(names).size);
      assert.deepEqual(new Set(back), new Set(names));
      assert.equal(foldNodeNames(names.toReversed()), folded);
    }),
    { numRuns: 1_000 },
  );
});

test('garbage is refused with bad_selector or read as a set of names', () => {
  const unit = fc.constantFrom('a', '1', '0', '[', ']', ',', '-', '/', '*', ' ', '9', '!', '😀', '\ud800');
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit }), fc.string()), (text) => {
      try {
        for (const found of parseNodeSet(text)) assert.match(found, /^[A-Za-z0-9._-]+$/);
      } catch (error) {
        if (!(error instanceof FleetError)) throw error;
        assert.equal(error.code, 'bad_selector');
      }
    }),
    { numRuns: 2_000 },
  );
});
