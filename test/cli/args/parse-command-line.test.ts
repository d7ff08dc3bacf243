import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommandLine } from '../../../src/cli/args/parse-command-line.ts';
import { COMMANDS } from '../../../src/cli/commands.ts';
import type { FleetError } from '../../../src/shared/errors.ts';

async function parse(...argv: string[]) {
  const parsed = await parseCommandLine(argv, COMMANDS);
  assert.equal(parsed.kind, 'command');
  if (parsed.kind !== 'command') throw new Error('unreachable');
  return { name: parsed.command.name, ...parsed.invocation };
}

async function usageError(...argv: string[]): Promise<string> {
  let said = '';
  await assert.rejects(parseCommandLine(argv, COMMANDS), (error: FleetError) => {
    said = `${error.message} | ${error.hint ?? ''}`;
    return error.code === 'usage';
  });
  return said;
}

test('everything from the first word of the command on belongs to the command', async () => {
  const run = await parse('run', 'n', 'ls', '-l', '--json');
  assert.deepEqual(run.words, ['ls', '-l', '--json']);
  assert.equal(run.options.json, false);
  assert.equal(run.positionals.NODE, 'n');
});

test('own options stand before the node, or between it and the command', async () => {
  const run = await parse('run', '--timeout', '3s', 'n', '--json', '--', 'ls', '--help');
  assert.deepEqual(run.words, ['ls', '--help']);
  assert.deepEqual([run.options.timeout, run.options.json], ['3s', true]);
});

test('a broadcast has no node: its first word begins the command', async () => {
  const broadcast = await parse('broadcast', '-f', '3', '-bN', '--on', 'web-*', 'uptime', '-p');
  assert.deepEqual(broadcast.words, ['uptime', '-p']);
  const { fanout, gather, on } = broadcast.options;
  assert.deepEqual([fanout, gather, broadcast.options['no-label'], on], ['3', true, true, 'web-*']);
});

test('options for all stand before, between and after the words of a command', async () => {
  for (const argv of [
    ['--json', '--home', '/h', 'jobs', 'show', 'J'],
    ['jobs', '--json', '--home=/h', 'show', 'J'],
    ['jobs', 'show', 'J', '--home', '/h', '--json'],
  ]) {
    const { name, options, positionals } = await parse(...argv);
    assert.deepEqual(
      [name, options.json, options.home, positionals.JOB],
      ['jobs show', true, '/h', 'J'],
      argv.join(' '),
    );
  }
});

test('a word that is no subcommand is an argument where there is one', async () => {
  assert.deepEqual((await parse('health', 'node-1')).positionals, { NODE: 'node-1' });
  assert.equal((await parse('health', 'report')).name, 'health report');
  assert.equal((await parse('nodes')).name, 'nodes');
});

test('--version is a command', async () => {
  assert.equal((await parse('--version')).name, 'version');
});

test('asks whether another word was meant', async () => {
  assert.match(await usageError('rnu', 'n', 'ls'), /unknown command: fleet rnu \| Did you mean: fleet run/);
  assert.match(await usageError('nodes', 'shwo'), /fleet nodes shwo \| Did you mean: fleet nodes show/);
  const synonyms = [
    ['nodes', 'list', 'fleet nodes'],
    ['nodes', 'ls', 'fleet nodes'],
    ['nodes', 'remove', 'fleet nodes rm'],
    ['nodes', 'delete', 'fleet nodes rm'],
    ['nodes', 'describe', 'fleet nodes show'],
    ['jobs', 'list', 'fleet jobs'],
    ['jobs', 'rm', 'fleet jobs cancel'],
    ['keys', 'ls', 'fleet keys list'],
    ['keys', 'rm', 'fleet keys revoke'],
    ['invites', 'delete', 'fleet invites revoke'],
    ['schedule', 'remove', 'fleet schedule rm'],
    ['node', 'start', 'fleet node up'],
    ['gateway', 'stop', 'fleet gateway down'],
  ] as const;
  for (const [group, typed, meant] of synonyms) {
    assert.ok((await usageError(group, typed)).endsWith(` | Did you mean: ${meant}`), `${group} ${typed}`);
  }
  assert.match(await usageError('gateway', 'xyz'), /Available: up, down, status, logs/);
  assert.match(
    await usageError('run', '--timout', '3', 'n', 'ls'),
    /unknown option --timout \| Did you mean --timeout/,
  );
  assert.match(await usageError('--jsn', 'nodes'), /Did you mean --json/);
});

test('a key may begin with a dash: what stands behind --key is the key', async () => {
  const verify = await parse('audit', 'verify', '--key', '-Xy', '--json', '--key', '--', '--file', 'f');
  assert.deepEqual(verify.options.key, ['-Xy', '--']);
  assert.deepEqual([verify.options.json, verify.options.file], [true, 'f']);
  assert.match(await usageError('audit', 'verify', '--key'), /--key needs a value/);
});

test('names what is missing or too much', async () => {
  assert.match(await usageError('run'), /NODE is missing \| Usage: fleet run/);
  assert.match(await usageError('jobs', 'show'), /JOB is missing/);
  assert.match(await usageError('run', '--timeout'), /--timeout needs a value \| $/);
  assert.match(
    await usageError('run', '--timeout', '-5', 'n', 'ls'),
    /--timeout needs a value \| To use -5 as the value: --timeout=-5$/,
  );
  assert.match(await usageError('jobs', 'show', 'a', 'b'), /Unknown argument: b/);
  assert.match(await usageError('health', 'report', '--format', 'pdf'), /"pdf" .* html,/);
  assert.match(await usageError('nodes', '--json=1'), /--json takes no value/);
});

test('a value that is not one of the choices is told with the choices', async () => {
  const said = await usageError('health', 'report', '--format', 'xml');
  assert.equal(said, 'health report: invalid --format: "xml" | Choose one of: text, json, md, html, csv');
  assert.match(await usageError('completion', 'ksh'), /^completion: invalid SHELL: "ksh" \| .*bash, zsh, fish/);
});

test('an empty word is told as that, as an unset variable of a script leaves it', async () => {
  assert.match(await usageError('run', '', 'ls'), /^run: NODE is empty \| .*variable/);
  assert.match(await usageError('jobs', 'logs', '7k3f', ''), /^jobs logs: NODE is empty/);
  assert.match(await usageError('nodes', 'label', 'web', 'a=b', ''), /^nodes label: LABEL is empty/);
  assert.match(await usageError('--home', '', 'nodes'), /^nodes: --home is empty/);
  assert.match(await usageError('run', '--cwd=', 'n', 'ls'), /^run: --cwd is empty/);
  assert.deepEqual((await parse('run', 'n', 'echo', '', 'x')).words, ['echo', '', 'x']);
});

test('a word of the prototype is no command and no option', async () => {
  assert.match(await usageError('toString'), /unknown command: fleet toString/);
  assert.match(await usageError('nodes', '--constructor', 'x'), /unknown option --constructor/);
});
