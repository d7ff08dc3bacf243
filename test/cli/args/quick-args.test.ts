import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { quickArgs } from '../../../src/cli/args/parse-command-line.ts';
import { scanArgs } from '../../../src/cli/args/scan-args.ts';
import { yargsArgs } from '../../../src/cli/args/yargs-args.ts';
import { defineCommand, GLOBAL_OPTIONS, type OptionTable, type Positional } from '../../../src/cli/context/command.ts';

const OPTIONS = {
  timeout: { type: 'string', describe: '' },
  'max-errors': { type: 'string', alias: 'm', describe: '' },
  env: { type: 'list', alias: 'e', describe: '' },
  async: { type: 'boolean', describe: '' },
  'no-label': { type: 'boolean', alias: 'N', describe: '' },
  key: { type: 'list', dashed: true, describe: '' },
  format: { type: 'string', describe: '', choices: ['text', 'json'] },
} as const satisfies OptionTable;

const SHAPES: readonly (readonly Positional[])[] = [
  [],
  [{ name: 'NODE', describe: '' }],
  [
    { name: 'JOB', describe: '' },
    { name: 'NODE', describe: '', optional: true },
  ],
  [
    { name: 'NODE', describe: '' },
    { name: 'LABEL', describe: '', many: true },
  ],
  [{ name: 'SHELL', describe: '', choices: ['bash', 'text'] }],
];

const word = fc.oneof(
  fc.constantFrom(
    'node-1',
    '007',
    '1e3',
    '0x10',
    'text',
    'bash',
    'true',
    'a=b',
    '"q"',
    "'",
    '-',
    '1',
    'NaN',
    '__proto__',
  ),
  fc.string({ minLength: 1, maxLength: 6 }),
);
const argument = fc.oneof(
  { weight: 3, arbitrary: word },
  fc.constantFrom(
    '--async',
    '-N',
    '--no-label',
    '--json',
    '--',
    '-Ne',
    '-e',
    '--timeout',
    '--format',
    '--env',
    '--key',
    '-m5',
  ),
  word.map((value) => `--timeout=${value}`),
  word.map((value) => `--env=${value}`),
  word.map((value) => `--format=${value}`),
);

test('quick and yargs understand the same: whatever quick accepts, yargs reads alike', {
  timeout: 30_000,
}, async () => {
  let accepted = 0;
  const property = fc.asyncProperty(
    fc.array(argument, { maxLength: 6 }),
    fc.constantFrom(...SHAPES),
    async (args, positionals) => {
      const command = defineCommand({
        name: 'test',
        usage: '',
        describe: '',
        positionals,
        options: OPTIONS,
        examples: [],
        execute: () => Promise.resolve(0),
      });
      const scan = scanArgs(args, { ...GLOBAL_OPTIONS, ...OPTIONS });
      const quick = quickArgs(scan, { ...GLOBAL_OPTIONS, ...OPTIONS }, positionals);
      if (quick === undefined) return;
      accepted += 1;
      assert.deepEqual(JSON.parse(JSON.stringify(await yargsArgs(command, scan))), JSON.parse(JSON.stringify(quick)));
    },
  );
  await fc.assert(property, { numRuns: 600 });
  assert.ok(accepted > 10, `only ${accepted} were accepted`);
});

test('leaves to yargs what is wrong', () => {
  const quick = (args: string[], positionals: readonly Positional[] = []) =>
    quickArgs(scanArgs(args, OPTIONS), OPTIONS, positionals);
  assert.notEqual(quick(['--timeout', '3']), undefined);
  for (const args of [['--nope'], ['--timeout'], ['--format', 'x'], ['extra']]) {
    assert.equal(quick(args), undefined, args.join(' '));
  }
  assert.equal(quick([], [{ name: 'NODE', describe: '' }]), undefined);
  assert.equal(quick(['fish'], [{ name: 'SHELL', describe: '', choices: ['bash'] }]), undefined);
});
