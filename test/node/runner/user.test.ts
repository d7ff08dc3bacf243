import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { environmentFault, MAX_VARIABLE_BYTES } from '../../../src/domain/limits.ts';
import { findUser, parsePasswd, runTool } from '../../../src/node/process/run-tool.ts';
import { AgentPlanner } from '../../../src/node/runner/agents.ts';
import { createShellPlanner, type PlanHost, planRun } from '../../../src/node/runner/plan.ts';
import { loginEnvironment } from '../../../src/shared/login-environment.ts';
import {
  DEADLINE_MS,
  isAlive,
  makeSpec,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
  untilSaid,
} from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };
const NOBODY = { name: 'nobody', uid: 65534, gid: 65534, home: '/nonexistent', shell: '/usr/sbin/nologin' };

function host(changes: Partial<PlanHost>): PlanHost {
  return {
    planners: { shell: createShellPlanner('/bin/sh'), agent: new AgentPlanner({}, '') },
    homeFolder: '/',
    baseEnv: { PATH: process.env.PATH, BASE: 'b' },
    currentUid: 0,
    findUser: async (name) => (name === 'nobody' ? NOBODY : undefined),
    ...changes,
  };
}

test('the current user needs no help', timeout, async (t) => {
  const runner = await startRunner(t);
  const { stdout } = await runWhole(runner, makeSpec('id -un; echo $BASE', { user: userInfo().username }));
  assert.equal(stdout.toString(), `${userInfo().username}\nbase\n`);
});

test('another user: as root it is that user all over; without rights it does not run at all', timeout, async (t) => {
  const runner = await startRunner(t);
  const command =
    'id -un; id -Gn; echo "$HOME|$USER|$LOGNAME|$SHELL|$BASE|$MINE|$FLEET_RUN"; pwd; echo err > /dev/stderr; kill -KILL $$';
  const spec = makeSpec(command, { user: 'nobody', env: { MINE: "it's", FLEET_RUN: 'forged' } });
  const { stdout, stderr, outcome } = await runWhole(runner, spec);
  if (userInfo().uid !== 0) {
    assert.notEqual(outcome.signal, 'SIGKILL');
    return;
  }
  const nobody = parsePasswd(await readFile('/etc/passwd', 'utf8'), 'nobody');
  assert.ok(nobody);
  const [name, groups, env, cwd] = stdout.toString().split('\n');
  assert.deepEqual([name, groups], ['nobody', 'nogroup']);
  assert.equal(env, `${nobody.home}|nobody|nobody|/bin/sh|base|it's|${spec.run}`, 'nologin is no shell');
  assert.equal(cwd, '/');
  assert.equal(stderr.toString(), 'err\n', 'its own stderr can be opened again');
  assert.equal(outcome.signal, 'SIGKILL', 'nothing stands between the command and its parent');
});

test('what another user has started is ended wherever it went', timeout, async (t) => {
  if (userInfo().uid !== 0) return t.diagnostic('root is needed');
  const runner = await startRunner(t);
  const spec = makeSpec('env -i setsid -f sleep 297; set -m; sleep 297 & echo ready; wait', { user: 'nobody' });
  runner.accept(spec);
  await untilSaid(runner, spec.run, 'ready');
  let pids: number[] = [];
  // The shell has said so before its children have become what they are.
  await until(async () => {
    const { stdout } = await runTool('pgrep', ['-x', '-f', 'sleep 297']);
    pids = stdout.split('\n').map(Number);
    return pids.length === 2;
  }, 'both of them');
  assert.equal((await runner.cancel(spec.run)).outcome?.reason, 'canceled: on request');
  for (const pid of pids) assert.equal(await isAlive(pid), false);
});

test('for another user, values of variables reach the command whole', timeout, async (t) => {
  const runner = await startRunner(t);
  const odd = ` a'b"c$HOME\\ \`x\`\n* `;
  const user = userInfo().uid === 0 ? 'nobody' : userInfo().username;
  const env = { FLEET_SET_ODD: 'another', ODD: odd, IFS: 'x', PATH: '/bin:/usr/bin', n: '1', name: '2' };
  const { stdout } = await runWhole(
    runner,
    makeSpec('printf %s "$ODD$FLEET_SET_ODD$n$name"; env | grep -c FLEET_SET_; exit 0', { user, env }),
  );
  assert.equal(stdout.toString(), `${odd}another121\n`);
});

test("the run's own variables are not given to what runs as root", async () => {
  const spec = makeSpec('true', { user: 'nobody', env: { LD_PRELOAD: '/evil.so', PATH: '/evil' } });
  const plan = await planRun(spec, host({}));
  assert.equal(plan.env.LD_PRELOAD, undefined);
  assert.notEqual(plan.env.PATH, '/evil');
  assert.match(plan.argv[0], /^\/.*\/setpriv$/);
  assert.ok(!plan.argv.join(' ').includes('evil'), 'values are on no command line');
  assert.ok(plan.argv.indexOf('--') < plan.argv.indexOf('/bin/sh'));
  assert.deepEqual(plan.argv.slice(-3), ['/bin/sh', '-c', 'true']);
});

test('another user gets the PATH of a login, not the one of root, and what the config of the node adds', async () => {
  const plan = await planRun(
    makeSpec('true', { user: 'nobody' }),
    host({ baseEnv: { PATH: '/usr/sbin', XDG_RUNTIME_DIR: '/run/user/0' }, addedEnv: { HTTP_PROXY: 'http://proxy' } }),
  );
  assert.equal(plan.env.PATH, loginEnvironment(NOBODY).PATH);
  assert.equal(plan.env.XDG_RUNTIME_DIR, undefined);
  assert.equal(plan.env.HTTP_PROXY, 'http://proxy');
  const own = await planRun(makeSpec('true', { user: 'nobody' }), host({ addedEnv: { PATH: '/opt/bin:/bin' } }));
  assert.equal(own.env.PATH, '/opt/bin:/bin');
});

test('the largest environment that is taken reaches the command, whoever that is', timeout, async (t) => {
  const runner = await startRunner(t);
  const large = { BIG: 'x'.repeat(MAX_VARIABLE_BYTES - 3) };
  const many = Object.fromEntries(
    Array.from({ length: 4000 }, (_, index) => [`A_VARIABLE_WITH_A_LONG_NAME_${index}`, 'x'.repeat(20)]),
  );
  for (const env of [large, many]) {
    assert.equal(environmentFault(env), undefined);
    for (const user of [undefined, ...(userInfo().uid === 0 ? ['nobody'] : [])]) {
      const spec = makeSpec("env | grep -c '^\\(BIG\\|A_\\)'", { env, ...(user === undefined ? {} : { user }) });
      const { stdout, outcome } = await runWhole(runner, spec);
      assert.equal(outcome.reason, null);
      assert.equal(Number(stdout), Object.keys(env).length);
    }
  }
});

test('what is too much for this system is named, with its limit, and never started', timeout, async (t) => {
  const runner = await startRunner(t, { baseEnv: { PATH: process.env.PATH, HUGE: 'x'.repeat(131_072) } });
  const { outcome } = await runWhole(runner, makeSpec('true'));
  assert.equal(outcome.state, 'failed_to_start');
  assert.match(outcome.reason ?? '', /^spawn_failed: E2BIG: HUGE takes 131078 bytes; this system takes 131072/);
  const parts = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`P${index}`, 'x'.repeat(120_000)]));
  const second = await startRunner(t, { baseEnv: { PATH: process.env.PATH, ...parts } });
  const { outcome: all } = await runWhole(second, makeSpec('true'));
  assert.match(all.reason ?? '', /^spawn_failed: E2BIG: arguments and environment take \d+ bytes; .*stack limit/);
});

test('without root it goes through sudo, which is told the names of the variables only', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'work'));
  // In sudo's place: shows what it was given, and runs the command with the rights there are.
  await writeFile(
    join(folder, 'sudo'),
    `#!/bin/sh\necho "$*" > ${folder}/args\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n`,
  );
  await chmod(join(folder, 'sudo'), 0o755);
  const spec = makeSpec(`echo "$TOKEN 'quoted'  $FLEET_NODE"; pwd; exit 3`, {
    user: 'nobody',
    env: { TOKEN: 'secret' },
    cwd: join(folder, 'work'),
  });
  const plan = await planRun(spec, host({ currentUid: 12_345, baseEnv: { PATH: `${process.env.PATH}:${folder}` } }));
  assert.ok(plan.signalWith);
  const { execFileSync } = await import('node:child_process');
  const [file, ...args] = plan.argv;
  assert.throws(
    () => execFileSync(file, args, { env: plan.env, cwd: plan.cwd, stdio: ['ignore', 'pipe', 'inherit'] }),
    (error: { status: number; stdout: Buffer }) => {
      assert.equal(error.stdout.toString(), `secret 'quoted'  node-1\n${join(folder, 'work')}\n`);
      return error.status === 3;
    },
  );
  const given = await readFile(join(folder, 'args'), 'utf8');
  assert.match(given, /^-n -H -u nobody --preserve-env=TOKEN,FLEET_NODE,FLEET_JOB,FLEET_RUN -- /);
  assert.equal(given.includes('secret'), false);
});

test('accounts are found in passwd, or by asking the system', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'passwd');
  await writeFile(
    path,
    'root:x:0:0:root:/root:/bin/bash\nann:x:1000:100:Ann, B:/home/ann:/bin/zsh\nbad:x:one:1::/:/bin/sh\nshort:x:1\n',
  );
  const ask = async (): Promise<{ exitCode: number; stdout: string; stderr: string }> => ({
    exitCode: 2,
    stdout: '',
    stderr: '',
  });
  assert.deepEqual(await findUser('ann', ask, path), {
    name: 'ann',
    uid: 1000,
    gid: 100,
    home: '/home/ann',
    shell: '/bin/zsh',
  });
  for (const name of ['bad', 'short', 'an', 'nobody-of-that-name'])
    assert.equal(await findUser(name, ask, path), undefined);
  await writeFile(path, '');
  assert.equal((await findUser('root', runTool, path))?.uid, 0);
  assert.equal(await findUser('nobody-of-that-name', runTool), undefined);
  assert.deepEqual(parsePasswd('ann:*:501:20::0:0:Ann:/Users/ann:/bin/zsh\n', 'ann'), {
    name: 'ann',
    uid: 501,
    gid: 20,
    home: '/Users/ann',
    shell: '/bin/zsh',
  });
});
