import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { MAX_COMMAND_BYTES } from '../../../src/domain/limits.ts';
import type { AgentsConfig } from '../../../src/node/runner/agents.ts';
import { Runner } from '../../../src/node/runner/runner.ts';
import { FRAME_TYPE, FrameDecoder } from '../../../src/protocol/frames.ts';
import { type AgentSpec, runStartedSchema } from '../../../src/protocol/run-spec.ts';
import {
  cleanUp,
  DEADLINE_MS,
  endRunner,
  makeSpec,
  readWhole,
  runnerOptions,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
  untilSaid,
} from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

const AGENTS: AgentsConfig = {
  cat: { command: ['cat'], prompt: 'stdin', events: 'text' },
  json: { command: ['cat'], prompt: 'json', events: 'ndjson' },
  argument: {
    command: ['/bin/sh', '-c', 'printf "%s|" "$#" "$@"; wc -c', 'sh', '-x'],
    prompt: 'argument',
    events: 'text',
  },
  hasty: { command: ['sleep', '60'], prompt: 'stdin', events: 'text', timeout: 50 },
  one: {
    command: ['/bin/sh', '-c', 'echo began; read line; sleep "$line"'],
    prompt: 'stdin',
    events: 'text',
    maxParallel: 1,
  },
  slow: { command: ['/bin/sh', '-c', 'echo began; sleep 0.5; wc -c'], prompt: 'stdin', events: 'text' },
  absent: { command: ['no-such-program-anywhere'], prompt: 'stdin', events: 'text' },
};

function makeAgentSpec(agent: string, prompt: string, changes: Partial<AgentSpec> = {}): AgentSpec {
  const { kind: _kind, command: _command, ...common } = makeSpec('-');
  return { ...common, kind: 'agent', agent, prompt, stdin: false, ...changes };
}

test(
  'the prompt arrives as the config says: on stdin, as the last argument, as JSON; no shell reads it',
  timeout,
  async (t) => {
    const runner = await startRunner(t, { agents: AGENTS });
    const prompt = `say "$HOME" 'and' \`id\`; exit 7 \n ü`;
    assert.equal((await runWhole(runner, makeAgentSpec('cat', prompt))).stdout.toString(), prompt);
    const argument = await runWhole(runner, makeAgentSpec('argument', prompt));
    assert.equal(argument.stdout.toString(), `2|-x|${prompt}|0\n`);
    const spec = makeAgentSpec('json', prompt);
    const json = (await runWhole(runner, spec)).stdout.toString();
    assert.match(json, /^[^\n]+\n$/);
    assert.deepEqual(JSON.parse(json), { prompt, agent: 'json', run: spec.run, job: spec.job, node: spec.node });
  },
);

test('the longest prompt arrives whole, and no file of it stays', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { agents: AGENTS, folder });
  const prompt = 'x'.repeat(MAX_COMMAND_BYTES);
  assert.equal((await runWhole(runner, makeAgentSpec('cat', prompt))).stdout.length, MAX_COMMAND_BYTES);
  assert.deepEqual(
    (await readdir(join(folder, 'pipes'))).filter((name) => !name.endsWith('.fifo')),
    [],
  );
});

test(
  "the log's first frame says which agent it is and how to read it; that of a shell's run says nothing of it",
  timeout,
  async (t) => {
    const runner = await startRunner(t, { agents: AGENTS });
    const agentOf = (log: Buffer): unknown => {
      const [first] = new FrameDecoder().push(log);
      assert.equal(first?.type, FRAME_TYPE.started);
      return runStartedSchema.parse(JSON.parse(first.payload.toString())).agent;
    };
    assert.deepEqual(agentOf((await runWhole(runner, makeAgentSpec('json', 'x'))).log), {
      name: 'json',
      events: 'ndjson',
    });
    assert.equal(agentOf((await runWhole(runner, makeSpec('true'))).log), undefined);
  },
);

test('an agent that the node does not have is refused before anything is kept', timeout, async (t) => {
  const runner = await startRunner(t, { agents: AGENTS });
  for (const name of ['nobody', 'constructor', 'toString']) {
    assert.throws(() => runner.accept(makeAgentSpec(name, 'x')), { code: 'no_such_agent' });
  }
  assert.deepEqual(runner.list(), []);
});

test('a program that is not there is a run that never started', timeout, async (t) => {
  const runner = await startRunner(t, { agents: AGENTS });
  const { outcome } = await runWhole(runner, makeAgentSpec('absent', 'x', { env: { PATH: '/bin' } }));
  assert.equal(outcome.state, 'failed_to_start');
  assert.match(outcome.reason ?? '', /^no_such_program: /);
});

test(
  "the config's timeout counts where the job names none, and a repeated hand-over is still the same run",
  timeout,
  async (t) => {
    const runner = await startRunner(t, { agents: AGENTS });
    const spec = makeAgentSpec('hasty', 'x');
    const { outcome } = await runWhole(runner, spec);
    assert.equal(outcome.state, 'timed_out');
    assert.equal(runner.accept(spec).state, 'timed_out');
    const longer = makeAgentSpec('hasty', 'x', { timeoutMs: 60_000 });
    runner.accept(longer);
    await until(() => runner.status(longer.run)?.state === 'running', 'running');
    assert.equal((await runner.cancel(longer.run)).state, 'canceled');
  },
);

test('maxParallel counts prompts, not output that is held', timeout, async (t) => {
  const agents: AgentsConfig = {
    held: { command: ['/bin/sh', '-c', 'sleep 60 & :'], prompt: 'stdin', events: 'text', maxParallel: 1 },
  };
  const runner = await startRunner(t, { agents });
  const [first, second] = [makeAgentSpec('held', 'x'), makeAgentSpec('held', 'x')];
  runner.accept(first);
  runner.accept(second);
  await until(() => runner.status(second.run)?.state === 'running', 'the second prompt');
  assert.equal(runner.status(first.run)?.state, 'running');
});

test('maxParallel: the next one begins when one has ended; who waits can be canceled', timeout, async (t) => {
  const runner = await startRunner(t, { agents: AGENTS });
  const [first, second, third] = [makeAgentSpec('one', '60'), makeAgentSpec('one', '60'), makeAgentSpec('one', '0')];
  for (const spec of [first, second, third]) runner.accept(spec);
  await untilSaid(runner, first.run, 'began');
  // Others are not held up by it.
  assert.equal((await runWhole(runner, makeAgentSpec('cat', 'x'))).outcome.exitCode, 0);
  assert.deepEqual(
    [second, third].map(({ run }) => runner.status(run)?.state),
    ['delivered', 'delivered'],
  );
  const canceled = await runner.cancel(second.run);
  assert.deepEqual([canceled.state, canceled.outcome?.startedAt], ['canceled', null]);
  assert.equal(runner.status(third.run)?.state, 'delivered');
  await runner.cancel(first.run);
  assert.equal((await readWhole(runner, third.run)).outcome.exitCode, 0);
});

test(
  'a restart of the node takes neither the prompt from the one at work, nor the turn from those that wait',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const options = runnerOptions(folder, { agents: AGENTS });
    const former = new Runner(options);
    await former.start();
    const prompt = 'x'.repeat(100_000);
    const [slow, working, waiting] = [
      makeAgentSpec('slow', prompt),
      makeAgentSpec('one', '1'),
      makeAgentSpec('one', '0'),
    ];
    for (const spec of [slow, working, waiting]) former.accept(spec);
    await untilSaid(former, slow.run, 'began');
    await untilSaid(former, working.run, 'began');
    await former.close();
    const runner = new Runner(options);
    await runner.start();
    cleanUp(t, () => endRunner(runner));
    assert.equal(runner.status(waiting.run)?.state, 'delivered');
    assert.equal((await readWhole(runner, slow.run)).stdout.toString(), 'began\n100000\n');
    await readWhole(runner, working.run);
    assert.equal((await readWhole(runner, waiting.run)).outcome.exitCode, 0);
  },
);
