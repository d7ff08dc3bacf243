import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { splitPlainWords } from '../../../src/node/policy/rules.ts';

/** Of these, all that this machine has; /bin/sh is there always. */
const SHELLS = [
  '/bin/sh',
  '/bin/bash',
  '/bin/dash',
  '/bin/zsh',
  '/usr/bin/zsh',
  '/usr/bin/fish',
  '/bin/csh',
  '/bin/ksh',
].filter((shell) => existsSync(shell));

/** What an attacker would try, and letters around it. */
const nasty = fc.string({
  unit: fc.constantFrom(
    ...[
      'a',
      'z',
      '0',
      '.',
      '/',
      '-',
      '_',
      '=',
      '+',
      ':',
      ',',
      '@',
      '%',
      ' ',
      '  ',
      '..',
      '~',
      '^',
      '#',
      '!',
      '?',
      '*',
      '[',
      ']',
    ],
    ...[
      '{',
      '}',
      '(',
      ')',
      '<',
      '>',
      '|',
      '&',
      ';',
      '$',
      '`',
      '"',
      "'",
      '\\',
      '\n',
      '\r',
      '\t',
      '\v',
      '\u00a0',
      '\u2028',
      'é',
      '；',
      '‮',
    ],
    ...['$(id)', '`id`', '&&', '$IFS', '{a,b}', '<(a)', 'LD_PRELOAD=x', '\u0000', '\u001b[A'],
  ),
  maxLength: 12,
});

test('what is taken for plain words is read by real shells as exactly these words', () => {
  const lines = fc
    .sample(nasty, 6000)
    .map((tail) => `x ${tail}`)
    .filter((line) => splitPlainWords(line) !== undefined);
  assert.ok(lines.length > 100, `only ${lines.length} plain lines`);
  for (const shell of SHELLS) {
    const script = lines.map((line) => `printf '<%s>' ${line.slice(2)}\nprintf '\\n'`).join('\n');
    const said = execFileSync(shell, ['-c', script], { encoding: 'utf8', cwd: '/' }).trimEnd().split('\n');
    lines.forEach((line, index) => {
      const [, ...words] = splitPlainWords(line) ?? [];
      const expected = words.length === 0 ? '<>' : words.map((word) => `<${word}>`).join('');
      assert.equal(said[index], expected, `${shell} reads ${JSON.stringify(line)} in another way`);
    });
  }
});

test('nothing that any shell reads as more than a word gets through, wherever it stands', () => {
  const meaning = [
    ...[
      '\n',
      '\r',
      '\t',
      '\0',
      '\v',
      '\f',
      ';',
      '&',
      '|',
      '<',
      '>',
      '(',
      ')',
      '{',
      '}',
      '[',
      ']',
      '$',
      '`',
      '"',
      "'",
      '\\',
    ],
    ...['*', '?', '~', '#', '!', '^', 'é', '\u00a0', '\u2003', '\u2028', '；', '‮', '\ufeff', '𝗅𝗌', '\u001b', '\u007f'],
  ];
  for (const mark of meaning) {
    for (const line of [
      `${mark}uptime`,
      `uptime${mark}`,
      `uptime ${mark}`,
      `uptime ${mark} id`,
      `uptime a${mark}b`,
      mark,
    ]) {
      assert.equal(splitPlainWords(line), undefined, JSON.stringify(line));
    }
  }
  for (const line of ['LD_PRELOAD=/x uptime', 'A=b', 'A+=b uptime', 'ls =ls', '=ls', 'kill %1', '%1', '', '   ']) {
    assert.equal(splitPlainWords(line), undefined, JSON.stringify(line));
  }
});

test('plain commands are plain', () => {
  assert.deepEqual(splitPlainWords('  date   +%s --utc '), ['date', '+%s', '--utc']);
  assert.deepEqual(splitPlainWords('dd if=/dev/zero of=/tmp/x,y@z:1'), ['dd', 'if=/dev/zero', 'of=/tmp/x,y@z:1']);
});
