import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchesWildcard, parseSelector, type SelectableNode, selectNodes } from '../../src/domain/selector.ts';
import { FleetError } from '../../src/shared/errors.ts';

const NODES: SelectableNode[] = [
  { name: 'web-1', status: 'online', labels: { role: 'web', zone: 'eu-1' }, id: 'abcdefgh1' },
  { name: 'web-2', status: 'limited', labels: { role: 'web', zone: 'eu-2' }, id: 'abcdzzzz2' },
  { name: 'web-3', status: 'offline', labels: { role: 'web' }, id: 'qrstuvwx3' },
  { name: 'db-1', status: 'online', labels: { role: 'db', 'example.org/tier': '1' }, id: 'mnopmnop4' },
  { name: 'db-2', status: 'error', labels: { role: 'db-standby' }, id: 'web-1' },
];

function select(text: string): { names: string; unmatched: string[] } {
  const { nodes, unmatched } = selectNodes(parseSelector(text), NODES);
  return { names: nodes.map((node) => node.name).join(' '), unmatched };
}

const SELECTIONS: [string, string][] = [
  ['db-1', 'db-1'],
  ['db-1,web-1', 'web-1 db-1'],
  ['web-*', 'web-1 web-2 web-3'],
  ['*-?', 'web-1 web-2 web-3 db-1 db-2'],
  ['w[1-2]*', ''],
  ['*[1,3]', 'web-1 web-3 db-1'],
  ['web-[1-3]', 'web-1 web-2 web-3'],
  ['web-[1,3],db-2', 'web-1 web-3 db-2'],
  ['@label:role=db', 'db-1'],
  ['@role=db', 'db-1'],
  ['@role=db*', 'db-1 db-2'],
  ['@example.org/tier=1', 'db-1'],
  ['@zone=', ''],
  ['@constructor=*', ''],
  ['@online', 'web-1 db-1'],
  ['@limited', 'web-2'],
  ['@error', 'db-2'],
  ['@offline', 'web-3'],
  ['@all', 'web-1 web-2 web-3 db-1 db-2'],
  ['@all!web-*', 'db-1 db-2'],
  ['@role=web&@online', 'web-1'],
  [' web-* & @online , db-2 ', 'web-1 db-2'],
  // Left to right: ((db-2 , web-*) & @online) ! web-1.
  ['db-2,web-*&@online!web-1', ''],
  ['@online!web-1,web-1', 'web-1 db-1'],
  ['mnopmnop4', 'db-1'],
  ['qrst', 'web-3'],
];

for (const [text, names] of SELECTIONS) {
  test(`${text} selects ${names || 'nothing'}`, () => assert.deepEqual(select(text), { names, unmatched: [] }));
}

test('literal names that nobody has are reported, whatever operator stands before them', () => {
  assert.deepEqual(select('web-[1-5]'), { names: 'web-1 web-2 web-3', unmatched: ['web-4', 'web-5'] });
  assert.deepEqual(select('@all!wbe-1').unmatched, ['wbe-1']);
  assert.deepEqual(select('@all&wbe-1,wbe-1'), { names: '', unmatched: ['wbe-1'] });
  assert.deepEqual(select('wbe-*').unmatched, []);
});

test('an ambiguous or very short start of an id is no node', () => {
  assert.deepEqual(select('abcd'), { names: '', unmatched: ['abcd'] });
  assert.deepEqual(select('qrs'), { names: '', unmatched: ['qrs'] });
});

test('a name beats an id that reads the same', () => assert.equal(select('web-1').names, 'web-1'));

/** Text, and the character (from 1) that the error must point at. */
const FAULTS: [string, number][] = [
  ['', 1],
  ['!web-1', 1],
  ['web-1&', 7],
  ['web-1,,db-1', 7],
  ['@all & @nope', 8],
  ['@pending', 1],
  ['@', 1],
  ['@=x', 1],
  ['@label:role', 1],
  ['web-1 web-2', 6],
  ['@all!web-[1-', 10],
  ['web-1;db-1', 6],
  ['(web-1)', 1],
];

for (const [text, position] of FAULTS) {
  test(`${JSON.stringify(text)} is refused at character ${position}`, () => {
    assert.throws(
      () => parseSelector(text),
      (error) => error instanceof FleetError && error.code === 'bad_selector' && error.facts?.position === position,
    );
  });
}

test('what a selector may ask for is limited', () => {
  assert.equal(parseSelector('n[1-1000]*').steps.length, 1);
  for (const text of ['n[1-1001]*', 'n[1-1000]*,@all', '@all'.concat(',@all'.repeat(1000)), 'a[1-99999],b[1-2]']) {
    assert.throws(() => parseSelector(text), { code: 'bad_selector' });
  }
});

test('garbage throws nothing but bad_selector, and selects only given nodes', () => {
  const unit = fc.constantFrom(
    'a',
    'web',
    '-',
    '1',
    '[',
    ']',
    ',',
    '&',
    '!',
    '@',
    '=',
    'role',
    'all',
    'label:',
    '*',
    '?',
    ' ',
  );
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit, maxLength: 12 }), fc.string()), (text) => {
      try {
        const { nodes } = selectNodes(parseSelector(text), NODES);
        assert.ok(nodes.every((node) => NODES.includes(node)));
        assert.equal(new Set(nodes).size, nodes.length);
      } catch (error) {
        if (!(error instanceof FleetError)) throw error;
        assert.equal(error.code, 'bad_selector');
      }
    }),
    { numRuns: 3_000 },
  );
});

test('the operators are those of sets', () => {
  const names = fc.subarray(
    NODES.map((node) => node.name),
    { minLength: 1 },
  );
  fc.assert(
    fc.property(names, fc.constantFrom(',', '&', '!'), names, (left, operator, right) => {
      // Several names on the right are one operand only inside brackets, so give them one after the other.
      const text = `${left.join(',')}${right.map((name) => (operator === '&' ? '' : operator + name)).join('')}`;
      const chosen = select(operator === '&' ? `${left.join(',')}&${right[0]}` : text).names;
      const expected = NODES.map((node) => node.name).filter((name) => {
        if (operator === ',') return left.includes(name) || right.includes(name);
        return operator === '!'
          ? left.includes(name) && !right.includes(name)
          : left.includes(name) && name === right[0];
      });
      assert.equal(chosen, expected.join(' '));
    }),
  );
});

test('wildcards match as a regular expression would', () => {
  const unit = fc.constantFrom('a', 'b', '.');
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, fc.string({ unit, maxLength: 8 }), (wildcard, text) => {
      const source = wildcard.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
      assert.equal(matchesWildcard(wildcard, text), new RegExp(`^${source}$`).test(text));
    }),
    { numRuns: 3_000 },
  );
});

test('a pattern of many stars ends', () => {
  assert.equal(matchesWildcard(`${'*a'.repeat(200)}b`, 'a'.repeat(5_000)), false);
});
