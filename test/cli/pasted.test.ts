import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommandLine } from '../../src/cli/args/parse-command-line.ts';
import { parsePairs } from '../../src/cli/args/values.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { nodeNameSchema } from '../../src/domain/names.ts';
import { parseSelector } from '../../src/domain/selector.ts';
import { parseInviteCode } from '../../src/protocol/pairing.ts';
import { parseTarget } from '../../src/remote/connect.ts';

/** As clipboards, chats and files of other systems leave a text. */
const AROUND: [before: string, after: string][] = [
  [' ', '\r'],
  ['\ufeff', '\n'],
  ['\u00a0', '\u200b'],
  ['“', '”'],
];

async function parse(...argv: string[]) {
  const parsed = await parseCommandLine(argv, COMMANDS);
  assert.ok(parsed.kind === 'command');
  return parsed.invocation;
}

test('names, codes, addresses, labels and ids are taken without what was pasted around them', async () => {
  for (const [before, after] of AROUND) {
    const paste = (text: string): string => before + text + after;
    const up = await parse(
      ...[
        'node',
        'up',
        '--gateway',
        paste('gw:1'),
        '--code',
        paste('7k3f'),
        '--name',
        paste('pi'),
        '--label',
        paste('a=b'),
      ],
    );
    const { gateway, code, name, label } = up.options;
    assert.deepEqual([gateway, code, name, label], ['gw:1', '7k3f', 'pi', ['a=b']]);
    assert.equal((await parse('nodes', 'show', paste('web-1'))).positionals.NODE, 'web-1');
    assert.equal((await parse('jobs', 'show', paste('7k3f'))).positionals.JOB, '7k3f');
    assert.equal((await parse('keys', 'revoke', paste('anna'))).positionals.KEY, 'anna');
    assert.deepEqual((await parse('nodes', 'label', 'n', paste('a=b'), paste('c-'))).positionals.LABEL, ['a=b', 'c-']);
    assert.equal((await parse('broadcast', '--on', paste('@role=web'), 'true')).options.on, '@role=web');
    assert.equal((await parse('gateway', 'up', '--listen', paste(':22'))).options.listen, ':22');
    assert.deepEqual(parsePairs([`site=${paste('x')}`], '--label'), { site: 'x' });
    assert.deepEqual(parseTarget(paste('anna@gw:1')), { user: 'anna', address: { host: 'gw', port: 1 } });
    assert.equal(parseInviteCode(paste('7k3f-9m2q-x0zt-4hcv')).id, '7k3f');
  }
});

test('commands, values of variables, folders and reasons are taken as they are', async () => {
  const run = await parse('run', '--env', 'A= “x” ', '--cwd', ' /srv ', 'web-1', ' echo ', ' “hi” ');
  assert.deepEqual([run.options.env, run.options.cwd, run.words], [['A= “x” '], ' /srv ', [' echo ', ' “hi” ']]);
  const agent = await parse('agent', 'run', '--any', 'coder', ' a prompt ', 'x');
  assert.deepEqual([agent.positionals.AGENT, agent.words], [' a prompt ', ['x']]);
  const silence = await parse('alerts', 'silence', 'web-1', '--for', ' 1h', '--reason', ' new disk ');
  assert.deepEqual([silence.options.for, silence.options.reason], ['1h', ' new disk ']);
});

test('what is nothing without its surroundings is told to be empty', async () => {
  await assert.rejects(parse('nodes', 'show', '\u200b'), { code: 'usage', message: /NODE is empty/ });
});

test('a character in the middle that does not belong there is shown', () => {
  const shown = /U\+2013 EN DASH at position 5/;
  assert.throws(() => parseInviteCode('7k3f\u20139m2q-x0zt-4hcv'), { code: 'invite_invalid', message: shown });
  assert.throws(() => parseTarget('anna\u2013b@gw'), { code: 'usage', message: shown });
  assert.throws(() => parseTarget('gw-1\u2013b'), { code: 'usage', message: shown });
  assert.throws(() => parseSelector('web\u20131'), { code: 'bad_selector', message: /U\+2013 EN DASH .*character 4/ });
  const name = nodeNameSchema.safeParse('web-\u20131');
  assert.match(name.error?.issues[0]?.message ?? '', shown);
});
