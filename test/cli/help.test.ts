import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommandLine } from '../../src/cli/args/parse-command-line.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import type { Command } from '../../src/cli/context/command.ts';

async function help(...argv: string[]): Promise<string> {
  const parsed = await parseCommandLine(argv, COMMANDS);
  assert.equal(parsed.kind, 'help');
  return parsed.kind === 'help' ? parsed.text : '';
}

async function load(name: string): Promise<Command> {
  const command = await COMMANDS.find(name)?.();
  assert.ok(command, name);
  return command;
}

test('fleet --help fits one screen and names every command', async () => {
  const text = await help('--help');
  const lines = text.trimEnd().split('\n');
  assert.ok(lines.length <= 24, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length <= 80));
  for (const name of COMMANDS.names()) {
    for (const word of name.split(' ')) assert.match(text, new RegExp(`\\b${word}\\b`), name);
  }
});

test('without a command the same is said, as a mistake', async () => {
  const parsed = await parseCommandLine([], COMMANDS);
  assert.deepEqual(parsed, { kind: 'help', text: await help('-h'), isError: true });
});

test('what a command does is wrapped once: no line of it breaks where the source broke and again where the screen ends', async () => {
  for (const name of COMMANDS.names()) {
    const text = await help(...name.split(' '), '--help');
    const paragraph = text.slice(text.indexOf('\n\n') + 2).split('\n\n')[0] ?? '';
    const lines = paragraph.split('\n');
    for (const [index, line] of lines.entries()) {
      const [nextWord] = (lines[index + 1] ?? '').split(' ');
      if (!nextWord || /[.:]$/.test(line)) continue;
      assert.ok(line.length + 1 + nextWord.length > 90, `${name}: "${line}" is followed by "${nextWord}"`);
    }
  }
});

test('every command has a summary, loads under its own name, and shows at least two examples', async () => {
  for (const name of [...COMMANDS.names(), '__complete']) {
    const command = await load(name);
    assert.equal(command.name, name);
    assert.ok(command.examples.length >= 2, name);
    const text = await help(...name.split(' '), '--help');
    for (const [example, purpose] of command.examples) {
      assert.ok(text.includes(example) && text.includes(purpose), `${name}: ${example}`);
    }
    assert.ok(text.startsWith(`Usage: fleet ${name}`), name);
    assert.ok(
      text.split('\n').every((line) => line.length <= 120),
      name,
    );
  }
});

test('the examples are understood by the parser themselves', async () => {
  for (const name of [...COMMANDS.names(), '__complete']) {
    const { examples } = await load(name);
    for (const [example] of examples) {
      const typed = /\bfleet ([^|><&;)]*)/.exec(example)?.[1] ?? '';
      const argv = (typed.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll("'", ''));
      const parsed = await parseCommandLine(argv, COMMANDS);
      assert.equal(parsed.kind, 'command', example);
    }
  }
});

test('a word that has subcommands only shows them and two examples', async () => {
  for (const [name, description] of Object.entries(COMMANDS.groups)) {
    const text = await help(name, '--help');
    assert.ok(text.includes(description));
    assert.ok((text.split('Examples:')[1] ?? '').trim().split('\n').length >= 4);
    for (const [command, summary] of COMMANDS.subcommands(name))
      assert.match(text, new RegExp(`fleet ${command} +${summary}`));
    assert.equal((await parseCommandLine([name], COMMANDS)).kind, 'help');
  }
});

test('fleet help COMMAND is fleet COMMAND --help', async () => {
  assert.equal(await help('help', 'jobs', 'show'), await help('jobs', 'show', '--help'));
  assert.equal(await help('help'), await help('--help'));
});
