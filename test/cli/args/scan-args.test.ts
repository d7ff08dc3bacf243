import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scanArgs } from '../../../src/cli/args/scan-args.ts';
import type { OptionTable } from '../../../src/cli/context/command.ts';

const TABLE: OptionTable = {
  timeout: { type: 'string', describe: '' },
  fanout: { type: 'string', alias: 'f', describe: '' },
  env: { type: 'list', describe: '' },
  json: { type: 'boolean', describe: '' },
  gather: { type: 'boolean', alias: 'b', describe: '' },
};

function brief(args: string[], maxWords?: number) {
  const { options, words, rest, sound } = scanArgs(args, TABLE, maxWords);
  return { options: options.map(({ name, typed, value }) => [name ?? typed, value]), words, rest, sound };
}

test('options end at the first word of the command', () => {
  assert.deepEqual(brief(['n', 'ls', '-l', '--json'], 1), {
    options: [],
    words: ['n'],
    rest: ['ls', '-l', '--json'],
    sound: true,
  });
  assert.deepEqual(brief(['--json', 'n', '--timeout', '3', 'ls', '--timeout', '4'], 1), {
    options: [
      ['json', undefined],
      ['timeout', '3'],
    ],
    words: ['n'],
    rest: ['ls', '--timeout', '4'],
    sound: true,
  });
});

test('-- ends the options, too, and is no part of the command; a second one is', () => {
  assert.deepEqual(brief(['n', '--', 'ls', '--', 'x'], 1).rest, ['ls', '--', 'x']);
  assert.deepEqual(brief(['n', '--', '--', 'x'], 1).rest, ['--', 'x']);
  assert.deepEqual(brief(['n', 'ls', '--', 'x'], 1).rest, ['ls', '--', 'x']);
  assert.deepEqual(brief(['--', 'n', 'ls'], 1), { options: [], words: ['n'], rest: ['ls'], sound: true });
  assert.deepEqual(brief(['--', 'n', '--', 'ls'], 1).rest, ['ls']);
  assert.deepEqual(brief(['--', '-x'], 0).rest, ['-x']);
});

test('values: behind a blank, behind =, or attached to a letter', () => {
  const fanout = [['fanout', '10']];
  for (const args of [['--fanout', '10'], ['--fanout=10'], ['-f', '10'], ['-f10'], ['-f=10']]) {
    assert.deepEqual(brief(args).options, fanout, args.join(' '));
  }
  assert.deepEqual(brief(['-bf10']).options, [['gather', undefined], ...fanout]);
  assert.deepEqual(brief(['--env', 'A=1=2', '--env=B=']).options, [
    ['env', 'A=1=2'],
    ['env', 'B='],
  ]);
});

test('says what is not sound: unknown, without its value, with one that it does not take', () => {
  for (const args of [
    ['--nope'],
    ['-z'],
    ['-bz'],
    ['--fanout'],
    ['--fanout', '--json'],
    ['--json=1'],
    ['--toString'],
  ]) {
    assert.equal(brief(args).sound, false, args.join(' '));
  }
  assert.equal(brief(['--fanout=-1', '-']).sound, true);
});

test('no argument is lost, and those behind the limit stay as they are', () => {
  const argument = fc.oneof(fc.constantFrom('--json', '-b', '--', '-', '--env', '--env=x', '-f', '-bf3'), fc.string());
  const property = fc.property(fc.array(argument), fc.nat({ max: 2 }), (args, maxWords) => {
    const scan = scanArgs(args, TABLE, maxWords);
    assert.ok(scan.words.length <= maxWords);
    assert.deepEqual(args.slice(args.length - scan.rest.length), scan.rest);
    const all = scanArgs(args, TABLE);
    assert.deepEqual(all.rest, []);
    for (const word of [...scan.words, ...all.words]) assert.ok(args.includes(word));
  });
  fc.assert(property, { numRuns: 500 });
});

test('the second dash of -q- is an unknown option, and no end of the options', () => {
  const { sound, words } = scanArgs(['-q-', '--json', 'ls'], {
    quiet: { type: 'boolean', alias: 'q', describe: '' },
    json: { type: 'boolean', describe: '' },
  });
  assert.equal(sound, false);
  assert.deepEqual(words, ['ls']);
});
