import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { resolveNodeConfig } from '../../../src/node/config.ts';
import { Policy, requirePolicy } from '../../../src/node/policy/policy.ts';
import type { RunSpec } from '../../../src/protocol/run-spec.ts';
import { FleetError, toFleetError } from '../../../src/shared/errors.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { makeSpec } from '../runner/support/harness.ts';

function configOf(policy: unknown) {
  return resolveNodeConfig({ policy }, {}, 'test').policy;
}

function policyOf(rules: unknown, homeFolder = '/') {
  const config = configOf(rules);
  assert.ok(config);
  return new Policy({ initial: config, read: () => config, ownUser: 'me', homeFolder, logger: silentLogger });
}

/** The rule that refuses it; `undefined` if none does. */
async function refusal(policy: Policy, spec: RunSpec): Promise<string | undefined> {
  try {
    await policy.check(spec);
    return undefined;
  } catch (error) {
    const { code, message } = toFleetError(error);
    assert.equal(code, 'policy_denied');
    return /^node\.policy\.([\w.]+): /.exec(message)?.[1];
  }
}

const agentSpec = (): RunSpec => {
  const { command, ...rest } = makeSpec('x') as Extract<RunSpec, { kind: 'shell' }>;
  return { ...rest, kind: 'agent', agent: 'coder', prompt: command, stdin: false };
};

test('a policy that restricts nothing still keeps variables out that make other programs run', async () => {
  const policy = policyOf({});
  assert.equal(
    await refusal(policy, makeSpec('rm -rf x; true', { cwd: '/tmp', user: 'root', env: { LANG: 'C' } })),
    undefined,
  );
  assert.equal(await refusal(policy, agentSpec()), undefined);
  const loaders = [
    'PATH',
    'LD_PRELOAD',
    'LD_AUDIT',
    'DYLD_INSERT_LIBRARIES',
    'BASH_ENV',
    'ENV',
    'PS4',
    'ZDOTDIR',
    'IFS',
  ];
  for (const name of [
    ...loaders,
    'PYTHONPATH',
    'NODE_OPTIONS',
    'PERL5OPT',
    'GIT_SSH_COMMAND',
    'PAGER',
    'HOME',
    'SHELLOPTS',
  ]) {
    assert.equal(await refusal(policy, makeSpec('true', { env: { [name]: 'x' } })), 'env', name);
  }
});

test('with a list of commands, whatever is not mentioned is refused', async () => {
  const policy = policyOf({ commands: { allow: ['uptime', 'df -h *'], exact: ['df -h / | tail -n 1'] } });
  for (const line of ['uptime', 'df -h tmp', 'df -h / | tail -n 1']) {
    assert.equal(await refusal(policy, makeSpec(line)), undefined, line);
  }
  for (const line of [
    'df -h /|tail -n 1',
    'df -h / | tail -n 1 ',
    'uptime; id',
    'uptime & id',
    'uptime\nid',
    'id',
    '"uptime"',
    'up*',
  ]) {
    assert.equal(await refusal(policy, makeSpec(line)), 'commands.allow', line);
  }
  assert.equal(await refusal(policy, makeSpec('uptime', { env: { LANG: 'C' } })), 'env');
  assert.equal(await refusal(policy, makeSpec('uptime', { cwd: '/' })), 'folders');
  assert.equal(await refusal(policy, makeSpec('uptime', { user: 'root' })), 'users');
  assert.equal(await refusal(policy, makeSpec('uptime', { user: 'me' })), undefined, 'its own user it is anyway');
  assert.equal(await refusal(policy, agentSpec()), 'kinds');
});

test('no command line gets past a list of commands but those that it means', async () => {
  const policy = policyOf({ commands: { allow: ['uptime', 'tail -n * /var/log/*'] } });
  const glue = fc.constantFrom(
    ...[';', '&', '&&', '|', '\n', '\r\n', '$(', ')', '`', '<(', '>', ' ', '"', "'", '\\', '#', '\u2028', '＆'],
  );
  const piece = fc.constantFrom(
    ...['uptime', 'id', 'tail -n 5 /var/log/', 'syslog', '../../etc/shadow', '-f', 'LD_PRELOAD=/x ', '*', ''],
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(piece, glue), { maxLength: 5 }), async (parts) => {
      const line = parts.flat().join('');
      fc.pre(line !== '');
      const isMeant = /^ *uptime *$/.test(line) || /^ *tail +-n +[a-z0-9]+ +\/var\/log\/(syslog)? *$/.test(line);
      assert.equal((await refusal(policy, makeSpec(line))) === undefined, isMeant, JSON.stringify(line));
    }),
    { numRuns: 500 },
  );
});

test('deny comes first, and is matched against the whole line', async () => {
  const policy = policyOf({ commands: { exact: ['shutdown -r now', 'uptime'], deny: ['*shutdown*'] } });
  assert.equal(await refusal(policy, makeSpec('shutdown -r now')), 'commands.deny');
  assert.equal(await refusal(policy, makeSpec('uptime')), undefined);
  const onlyDeny = policyOf({ commands: { deny: ['rm -rf *'] } });
  assert.equal(await refusal(onlyDeny, makeSpec('rm -rf a\nb')), 'commands.deny');
  assert.equal(await refusal(onlyDeny, makeSpec('echo "any $THING"; true', { cwd: '/', env: { A: 'b' } })), undefined);
});

test('a star in the list of variables is no way to those that make other programs run', async () => {
  const policy = policyOf({ env: ['LANG', 'LC_*', '*', 'NODE_OPTIONS'] });
  for (const name of ['LANG', 'LC_ALL', 'ANYTHING', 'NODE_OPTIONS'])
    assert.equal(await refusal(policy, makeSpec('true', { env: { [name]: 'x' } })), undefined, name);
  for (const name of ['LD_PRELOAD', 'PATH', 'BASH_ENV', 'NODE_PATH'])
    assert.equal(await refusal(policy, makeSpec('true', { env: { A: 'b', [name]: 'x' } })), 'env', name);
  const narrow = policyOf({ env: ['APP_*'] });
  assert.equal(await refusal(narrow, makeSpec('true', { env: { XAPP_A: '1' } })), 'env');
  assert.equal(await refusal(narrow, makeSpec('true', { env: { APP_A: '1' } })), undefined);
});

test('a folder is judged by where it leads', async (t) => {
  const root = tempFolder(t);
  for (const folder of ['allowed/deep', 'allowed-not', 'other', 'home'])
    mkdirSync(path.join(root, folder), { recursive: true });
  symlinkSync(path.join(root, 'other'), path.join(root, 'allowed/out'));
  symlinkSync(path.join(root, 'allowed/deep'), path.join(root, 'other/in'));
  symlinkSync(path.join(root, 'allowed'), path.join(root, 'link'));
  const policy = policyOf({ folders: [path.join(root, 'link'), path.join(root, 'later')] }, path.join(root, 'home'));
  const ask = (cwd: string | undefined, user?: string) =>
    refusal(
      policy,
      makeSpec('true', { ...(cwd === undefined ? {} : { cwd }), ...(user === undefined ? {} : { user }) }),
    );
  for (const cwd of [
    'allowed',
    'allowed/',
    'allowed/deep/..',
    'allowed/deep',
    'other/in',
    'link/deep',
    'other/../allowed',
  ])
    assert.equal(await ask(path.join(root, '/') + cwd), undefined, cwd);
  assert.equal(await ask(undefined), undefined, 'the home folder, which the node itself has chosen');
  assert.equal(await ask('../allowed'), undefined, 'relative to the home folder');
  for (const cwd of [
    'allowed-not',
    'allowed/out',
    'allowed/..',
    'allowed/deep/../../other',
    'other',
    '',
    'missing',
    'later',
  ])
    assert.equal(await ask(path.join(root, '/') + cwd), 'folders', cwd);
  assert.equal(await ask('/'), 'folders');
  assert.equal(await ask('../allowed', 'somebody'), 'folders', 'whose home is not known here');
  mkdirSync(path.join(root, 'later'));
  assert.equal(await ask(path.join(root, 'later')), undefined);
});

test('limits concurrent runs; the refusal is retryable', () => {
  const policy = policyOf({ maxConcurrency: 2 });
  policy.requireFree(1);
  assert.throws(
    () => policy.requireFree(2),
    (error) => error instanceof FleetError && error.code === 'busy' && error.retryable,
  );
  policyOf({}).requireFree(1_000_000);
});

test('a policy that is wrong is a configuration that is wrong', () => {
  for (const policy of [
    ...[null, [], 'shell', { kind: ['shell'] }, { kinds: ['ssh'] }, { commands: {} }, { commands: { allow: ['*'] } }],
    ...[
      { commands: { alow: ['x'] } },
      { folders: ['srv'] },
      { env: ['A=b'] },
      { env: ['a b'] },
      { maxConcurrency: 0 },
      { users: [''] },
    ],
    { commands: { allow: ['echo "$(id)"'] } },
  ])
    assert.throws(() => configOf(policy), { code: 'config_invalid' }, JSON.stringify(policy));
  assert.equal(configOf(undefined), undefined);
});

test('a reload changes the policy in force; a broken file, or one without a policy, changes nothing and is a fault', async () => {
  let next: () => ReturnType<typeof configOf> = () => undefined;
  const file = new Policy({
    initial: configOf({ kinds: ['shell'] }),
    read: () => next(),
    ownUser: 'me',
    homeFolder: '/',
    logger: silentLogger,
  });
  await assert.rejects(file.check(agentSpec()), { code: 'policy_denied' });
  for (const broken of [() => configOf({ kinds: ['x'] }), () => requirePolicy(undefined)]) {
    next = broken;
    file.reload();
    assert.deepEqual(file.view?.kinds, ['shell']);
    assert.equal(file.faults().length, 1);
  }
  next = () => configOf({ kinds: ['agent'], maxConcurrency: 1 });
  file.reload();
  await file.check(agentSpec());
  await assert.rejects(file.check(makeSpec('true')), { code: 'policy_denied' });
  assert.throws(() => file.requireFree(1), { code: 'busy' });
  assert.deepEqual(file.faults(), []);
});
