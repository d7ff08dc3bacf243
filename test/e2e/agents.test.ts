/** Agents the whole way: the example program on two nodes, prompts through real tunnels, typed events back. */
import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AgentEvent } from '../../src/domain/agent/agent-adapters.ts';
import { FleetWorld, kill9, type Service, until } from '../support/fleet-processes.ts';

const ECHO = path.resolve(import.meta.dirname, '../../examples/agents/echo-agent.js');
const echo = (more: object = {}): object => ({
  command: [process.execPath, ECHO],
  prompt: 'json',
  events: 'ndjson',
  ...more,
});

/** JSON is YAML. */
async function writeConfig(home: string, config: object): Promise<void> {
  await mkdir(home, { mode: 0o700, recursive: true });
  await chmod(home, 0o700);
  await writeFile(path.join(home, 'config.yaml'), JSON.stringify(config));
}

/** The machine may be as busy as it likes with other tests: its nodes are online, not limited. */
const TOLERANT = { cpuPct: 'off', memUsedPct: 'off', diskUsedPct: 'off', temperatureC: 'off', eventLoopLag: '1h' };

function parseEvents(text: string): AgentEvent[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as AgentEvent);
}

describe('agents', () => {
  let world: FleetWorld;
  let second: Service;

  before(async () => {
    world = await FleetWorld.create();
    await writeConfig(world.home, { gateway: { thresholds: TOLERANT } });
    const broken = { command: ['/no/such/program'] };
    await writeConfig(world.nodeHome('node-1'), { node: { agents: { echo: echo(), broken } } });
    await writeConfig(world.nodeHome('node-2'), {
      node: {
        agents: {
          echo: echo(),
          broken: echo(),
          shouter: { command: ['tr', 'a-z', 'A-Z'] },
          hasty: { command: ['sleep', '60'], timeout: '200ms' },
        },
      },
    });
    await world.startGateway();
    await world.startNode('node-1');
    second = await world.startNode('node-2');
  });

  after(() => world.close());

  it('are capabilities of their nodes, and listed', async () => {
    const nodes = await world.json<{ capabilities: string[] }[]>(['nodes', '--json']);
    assert.deepEqual(nodes[0]?.capabilities, ['shell', 'agent:echo', 'agent:broken']);
    const agents = await world.json<{ node: string; agent: string }[]>(['agents', '--json']);
    assert.equal(agents.length, 6);
    assert.match((await world.fleet(['agents', 'node-2'])).text, /^node-2\s+online\s+shouter$/m);
  });

  it('stream text to stdout and tools to stderr', async () => {
    const result = await world.fleet(['agent', 'run', 'node-1', 'echo', 'hello', '"$HOME"', '--json']);
    assert.equal(result.code, 0);
    assert.equal(result.text, 'hello "$HOME" --json\n');
    assert.match(result.stderr, /^> list-folder \{"folder":/m);
    assert.match(result.stderr, /^< list-folder$/m);
    assert.match(result.stderr, /^echo-agent: counted/m);
    assert.equal((await world.fleet(['agent', 'run', 'node-2', 'shouter', 'hello'])).text, 'HELLO');
  });

  it('tell typed events, in order, each with whose it is', async () => {
    const result = await world.fleet(['agent', 'run', '--jsonl', 'node-1', 'echo', 'a b']);
    const events = parseEvents(result.text);
    const types = events.filter((event) => !('stream' in event && event.stream === 'stderr')).map(({ type }) => type);
    assert.deepEqual(types.slice(0, 2), ['agent-start', 'agent-stream']);
    assert.deepEqual(types.slice(-3), ['tool-start', 'tool-end', 'agent-complete']);
    for (const { node, agent, job, run } of events) {
      assert.deepEqual([node, agent, run], ['node-1', 'echo', `${job}.0`]);
    }
    const last = events.at(-1);
    assert.ok(last?.type === 'agent-complete' && last.result === 'You said: a b' && (last.durationMs ?? -1) >= 0);
    const raw = await world.fleet(['jobs', 'logs', last.job]);
    assert.ok(raw.text.startsWith('{"type":"text","text":"a "}\n'), raw.text);
    const json = await world.json<Record<string, unknown>>(['agent', 'run', '--json', 'node-1', 'echo', 'a b']);
    assert.deepEqual([json.agent, json.result, json.state], ['echo', 'You said: a b', 'exited']);
  });

  it('fail with their own code and their own words', async () => {
    const failed = await world.fleet(['agent', 'run', 'node-1', 'echo', 'fail']);
    assert.equal(failed.code, 3);
    assert.match(failed.stderr, /node-1: asked to fail/);
    const events = parseEvents((await world.fleet(['agent', 'run', '--jsonl', 'node-1', 'echo', 'fail'])).text);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['agent-start', 'agent-error', 'agent-error'],
    );
    const last = events.at(-1);
    assert.ok(last?.type === 'agent-error' && last.final && last.exitCode === 3 && last.message === 'asked to fail');
    assert.equal((await world.fleet(['agent', 'run', 'node-2', 'hasty', 'x'])).code, 124);
  });

  it('that a node does not have are rejected: 126, and nothing ran', async () => {
    const result = await world.fleet(['agent', 'run', '--json', 'node-1', 'shouter', 'x']);
    const run = JSON.parse(result.text) as { state: string; reason: string };
    assert.deepEqual([result.code, run.state], [126, 'rejected']);
    assert.match(run.reason, /^no_such_agent: /);
  });

  it('may be replaced by another one that was not begun', async () => {
    const result = await world.fleet(['agent', 'run', '--fallback', 'echo', 'node-1', 'shouter', 'hello']);
    assert.deepEqual([result.code, result.text], [0, 'hello\n']);
    assert.match(result.stderr, /node-1: shouter did not start/);
    // One that was begun and failed is not: it may have done half of its work.
    const failed = await world.fleet(['agent', 'run', '--fallback', 'shouter', 'node-2', 'echo', 'fail']);
    assert.deepEqual([failed.code, failed.text], [3, '']);
  });

  it('--any: takes a node that has it, and another when it never began there', async () => {
    const on = ['agent', 'run', '--jsonl', '--any', '--on', 'node-[1-2]'];
    const shouted = parseEvents((await world.fleet([...on, 'shouter', 'x'])).text);
    assert.ok(shouted.every(({ node }) => node === 'node-2'));
    // On node-1 the program is missing; it is tried first, since the other one is busy.
    const { job } = await world.json<{ job: string }>(['run', '--async', '--json', 'node-2', 'sleep 60']);
    const result = await world.fleet([...on, 'broken', '--', 'x']);
    assert.equal((await world.fleet(['jobs', 'cancel', job])).code, 0);
    const events = parseEvents(result.text);
    assert.equal(result.code, 0);
    assert.deepEqual([events[0]?.type, events[0]?.node], ['agent-error', 'node-1']);
    assert.deepEqual([events.at(-1)?.type, events.at(-1)?.node], ['agent-complete', 'node-2']);
  });

  it('--any: the least busy node, and an error when there is none', async () => {
    const { job } = await world.json<{ job: string }>([
      'agent',
      'run',
      '--async',
      '--json',
      'node-1',
      'echo',
      'sleep 60',
    ]);
    assert.equal((await world.json<object[]>(['nodes', '--json', '--status', 'online'])).length, 2);
    const picked = await world.json<{ node: string }>(['agent', 'run', '--json', '--any', 'echo', 'x']);
    assert.equal(picked.node, 'node-2');
    assert.equal((await world.fleet(['jobs', 'cancel', job])).code, 0);
    const none = await world.fleet(['agent', 'run', '--any', 'nobody', 'x']);
    assert.equal(none.code, 255);
    assert.match(none.stderr, /has an agent nobody/);
    const fallback = await world.fleet(['agent', 'run', '--any', '--fallback', 'shouter', 'nobody', 'x']);
    assert.deepEqual([fallback.code, fallback.text], [0, 'X']);
    assert.equal((await world.fleet(['agent', 'run', '--on', '@all', 'echo', 'x', 'y'])).code, 2);
  });

  it('outlive the process of their node, which still knows how to read what they say', async () => {
    const running = world.fleet(['agent', 'run', '--json', 'node-2', 'echo', 'sleep 3']);
    const open = (): Promise<object[]> => world.json(['jobs', '--json', '--state', 'running', '--node', 'node-2']);
    await until(async () => (await open()).length > 0, 'the agent to run');
    await kill9(second);
    await world.resumeNode('node-2');
    const run = JSON.parse((await running).text) as { state: string; result: string; exitCode: number };
    assert.deepEqual([run.state, run.exitCode, run.result], ['exited', 0, 'You said: sleep 3']);
  });

  it('outlive the gateway: their events go on where they were', async () => {
    const running = world.fleet(['agent', 'run', '--jsonl', 'node-1', 'echo', 'sleep 3']);
    const open = (): Promise<{ runs: { state: string }[] }[]> =>
      world.json(['jobs', '--json', '--state', 'running', '--node', 'node-1']);
    await until(async () => (await open()).length > 0, 'the agent to run');
    assert.ok(world.gateway);
    await kill9(world.gateway);
    await world.startGateway();
    const { code, text } = await running;
    const events = parseEvents(text);
    assert.equal(code, 0);
    assert.equal(events.filter(({ type }) => type === 'agent-start').length, 1);
    assert.equal(events.at(-1)?.type, 'agent-complete');
  });
});
