/** Every `fleet …` command that README.md and docs/*.md show, run against a real gateway and node. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseCommandLine } from '../../src/cli/args/parse-command-line.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { FleetWorld, type Result, until } from '../support/fleet-processes.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const ECHO = path.join(ROOT, 'examples/agents/echo-agent.js');
/** The test shares its machine: nodes must not become limited because of other load. */
const TOLERANT = { cpuPct: 'off', memUsedPct: 'off', diskUsedPct: 'off', temperatureC: 'off', eventLoopLag: '1h' };

interface Shown {
  /** As in the document, without comments and what follows a pipe or redirection. */
  text: string;
  words: string[];
  file: string;
}

/** Commands in code blocks, at the start of a line or after a path, an `=` or another program; and inline code that begins with fleet. */
function commandsIn(file: string, text: string): Shown[] {
  const lines = text.split(/^```.*$/m).flatMap((part, index) => {
    if (index % 2 === 1) return part.split('\n').map((line) => /(?:^|[\s/=])fleet +(.*)/.exec(line)?.[1]);
    return [...part.matchAll(/`(?:\S*\/)?fleet\s([^`]+)`/g)].map(([, inside]) => inside?.replace(/\s+/g, ' '));
  });
  return lines
    .filter((line) => line !== undefined)
    .flatMap((line) => {
      const end = /\s[#|>─]/.exec(line.replace(/'[^']*'|"[^"]*"/g, (quoted) => 'q'.repeat(quoted.length)));
      return alternatives(splitWords(line.slice(0, end?.index).replace(/ …$/, '')));
    })
    .map((words) => ({ file, words, text: ['fleet', ...words].join(' ') }));
}

function splitWords(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? '',
  );
}

/** `jobs wait|logs JOB` is two commands. */
function alternatives(words: readonly string[]): string[][] {
  return words.reduce<string[][]>(
    (lines, word) => {
      const choices = /^[a-z-]+(\|[a-z-]+)+$/.test(word) ? word.split('|') : [word];
      return lines.flatMap((line) => choices.map((choice) => [...line, choice]));
    },
    [[]],
  );
}

/** The command's name; `mention` if the text names a command, or an option of it, without the words that it needs. */
async function classify({ words, text }: Shown): Promise<{ name: string; mention: boolean }> {
  const parsed = await parseCommandLine(words, COMMANDS).catch((error: Error) => error);
  if (!(parsed instanceof Error)) {
    if (parsed.kind === 'help') return { name: words.join(' '), mention: true };
    const { command, invocation } = parsed;
    return { name: command.name, mention: command.passthrough === true && invocation.words.length === 0 };
  }
  const [, name = ''] = /^(.+): (?:\S+ is missing|\S+ needs a value)$/.exec(parsed.message) ?? [];
  assert.ok(name !== '', `${text}: ${parsed.message}`);
  return { name, mention: true };
}

describe('documented commands', () => {
  let world: FleetWorld;
  let count = 0;
  const file = (name: string): string => path.join(world.folder, name);
  const gateway = (): string => `127.0.0.1:${world.port}`;
  const newCode = async (...options: string[]): Promise<string> =>
    (await world.json<{ code: string }>(['invite', '--json', ...options])).code;
  const newJob = async (command: string): Promise<string> =>
    (await world.json<{ job: string }>(['run', '--async', '--json', 'node-1', command])).job;

  /** Runs the words with values in the place of their placeholders. */
  const run = (words: readonly string[], values: Record<string, string>, home = world.home): Promise<Result> =>
    world.fleet(
      words.map((word) => (Object.hasOwn(values, word) ? (values[word] ?? '') : word)),
      { home },
    );
  /** Values that do not change. */
  const placeholders = (): Record<string, string> => ({
    NODE: 'node-1',
    HOST: gateway(),
    'gateway.example.com': gateway(),
    FILE: file('audit.jsonl'),
    HEAD: file('audit.head'),
    '/backup/audit.jsonl': file('audit.jsonl'),
    '/backup/audit.head': file('audit.head'),
    '/var/www/fleet.html': file('fleet.html'),
    '/home/ops/.fleet': world.home,
  });

  type Way = (words: readonly string[]) => Promise<Result>;
  const onGateway: Way = (words) => run(words, placeholders());
  const onNode: Way = (words) => run(words, placeholders(), world.nodeHome('node-1'));
  const onJob =
    (command: string): Way =>
    async (words) =>
      run(words, { ...placeholders(), JOB: await newJob(command) });

  /** A paired node that has stopped, in a home of its own. */
  const pairNode = async (name: string): Promise<string> => {
    const home = world.nodeHome(name);
    const up = ['node', 'up', '--gateway', gateway(), '--code', await newCode('--name', name), '--detach'];
    assert.equal((await run(up, {}, home)).code, 0);
    assert.equal((await run(['node', 'down'], {}, home)).code, 0);
    return home;
  };

  const startsGateway: Way = async (words) => {
    const home = file(`gateway-${++count}`);
    const api = { '127.0.0.1:18789': '127.0.0.1:0' };
    const result = await run(
      [...words.filter((word) => word !== '--detach'), '--listen', '127.0.0.1:0', '--detach'],
      api,
      home,
    );
    assert.equal((await run(['gateway', 'down'], {}, home)).code, 0);
    return result;
  };

  const startsNode: Way = async (words) => {
    const name = `box-${++count}`;
    const home = words.includes('--code') ? world.nodeHome(name) : await pairNode(name);
    const code = words.includes('--code') ? await newCode() : '';
    const values = { ...placeholders(), CODE: code, '7k3f-9m2q-x0zt-4hcv': code, NAME: name };
    const options = words.includes('--code') && !words.includes('NAME') ? ['--name', name] : [];
    const result = await run([...words.filter((word) => word !== '--detach'), ...options, '--detach'], values, home);
    assert.equal((await run(['node', 'down'], {}, home)).code, 0);
    return result;
  };

  const decidesPending: Way = async (words) => {
    const name = `machine-${++count}`;
    world.spawn(['node', 'up', '--gateway', gateway(), '--name', name], { home: world.nodeHome(name) });
    let code: string | undefined;
    await until(async () => {
      const pending = await world.json<{ name: string; code: string }[]>(['nodes', 'pending', '--json']);
      code = pending.find((one) => one.name === name)?.code;
      return code !== undefined;
    }, `${name} to wait for approval`);
    return await run(words, { ...placeholders(), NAME: name, CODE: code ?? '' });
  };

  const logsIn: Way = async (words) => {
    const name = `person-${++count}`;
    const code = await newCode('--role', 'operator', '--name', name);
    return await run(words, { ...placeholders(), CODE: code, '7k3f-9m2q-x0zt-4hcv': code }, file(name));
  };

  /** With the key and the head that this gateway has. */
  const verifies: Way = async (words) => {
    const { head } = await world.json<{ head: { seq: number; hash: string; key: string } }>([
      'audit',
      'verify',
      '--json',
    ]);
    const log = file(`audit-${++count}.jsonl`);
    const signed = `${log}.head`;
    assert.equal((await world.fleet(['audit', 'export', '--out', log, '--head', signed])).code, 0);
    const values = { 'audit.jsonl': log, 'audit.head': signed, $KEY: head.key };
    return await run(words, { ...values, '$(cat audit-head.txt)': `${head.seq}:${head.hash}` });
  };

  /** How each command is run, in this order: later ones need what earlier ones leave behind. */
  const WAYS: Readonly<Record<string, Way>> = {
    'gateway up': startsGateway,
    'gateway status': onGateway,
    'gateway reload': onGateway,
    'gateway rotate-key': onGateway,
    invite: (words) => run(words, { 'node-1': 'node-2' }),
    'invites list': onGateway,
    'node up': startsNode,
    'node status': onNode,
    'node rotate-key': onNode,
    nodes: onGateway,
    'nodes show': onGateway,
    'nodes pending': onGateway,
    'nodes approve': decidesPending,
    'nodes reset': onGateway,
    'nodes revoke': async (words) => {
      await pairNode('stolen');
      return await run(words, { NODE: 'stolen' });
    },
    login: logsIn,
    'keys list': onGateway,
    run: onGateway,
    broadcast: onGateway,
    agents: onGateway,
    'agent run': onGateway,
    jobs: onGateway,
    'jobs show': onJob('true'),
    'jobs logs': onJob('true'),
    'jobs wait': onJob('true'),
    'jobs cancel': onJob('sleep 60'),
    health: onGateway,
    'health report': onGateway,
    top: onGateway,
    alerts: onGateway,
    'alerts silence': onGateway,
    'alerts silences': onGateway,
    'alerts unsilence': onGateway,
    'alerts test': onGateway,
    'schedule add': onGateway,
    'schedule list': onGateway,
    'schedule show': onGateway,
    'schedule run': onGateway,
    'schedule history': onGateway,
    'schedule pause': onGateway,
    'schedule resume': onGateway,
    'schedule rm': onGateway,
    audit: onGateway,
    'audit export': onGateway,
    'audit verify': verifies,
    'node down': onNode,
  };

  before(async () => {
    world = await FleetWorld.create();
    const agents = { coder: { command: [process.execPath, ECHO], prompt: 'json', events: 'ndjson' } };
    const configs = [
      [
        world.home,
        {
          gateway: { thresholds: TOLERANT, alerts: { notify: [{ name: 'mail', kind: 'command', command: ['true'] }] } },
        },
      ],
      [world.nodeHome('node-1'), { node: { agents, labels: { role: 'db', gpu: 'yes' } } }],
    ] as const;
    for (const [home, config] of configs) {
      await mkdir(home, { mode: 0o700 });
      await writeFile(path.join(home, 'config.yaml'), JSON.stringify(config));
    }
    await world.startGateway();
    await world.startNode('node-1');
  });

  after(() => world.close());

  it('work as shown', { timeout: 110_000 }, async () => {
    const docs = (await readdir(path.join(ROOT, 'docs'))).filter((name) => name.endsWith('.md'));
    const shown = new Map<string, Shown>();
    for (const name of ['README.md', ...docs.map((one) => `docs/${one}`)]) {
      for (const command of commandsIn(name, await readFile(path.join(ROOT, name), 'utf8')))
        shown.set(command.text, command);
    }
    shown.delete('fleet COMMAND --help');
    const named = await Promise.all([...shown.values()].map(async (one) => ({ ...one, ...(await classify(one)) })));
    const toRun = named.filter(({ mention }) => !mention);
    assert.ok(toRun.length > 60, `only ${toRun.length} commands were found`);
    for (const { name, text, file: source } of toRun) assert.ok(WAYS[name], `${source}: no way to run: ${text}`);
    const failed: string[] = [];
    for (const [name, way] of Object.entries(WAYS)) {
      const commands = toRun.filter((one) => one.name === name);
      await Promise.all(
        commands.map(async ({ words, text, file: source }) => {
          let result = await way(words);
          // A node that another command has just stopped may still have counted as connected.
          if (result.stderr.includes('node_offline')) result = await way(words);
          const { code, text: stdout, stderr } = result;
          // Nagios codes: the test's machine may be unwell.
          const isFine = name.startsWith('health') ? code !== null && code < 3 && stderr === '' : code === 0;
          if (!isFine) failed.push(`${source}: ${text}: exit code ${code}: ${stdout}${stderr}`);
        }),
      );
    }
    assert.deepEqual(failed, []);
  });
});
