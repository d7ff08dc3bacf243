import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { z } from 'zod';
import { ANSWERS, ROUTES } from '../../src/protocol/routes.ts';
import { TestWorld } from '../cli/test-world.ts';
import { FakeGateway, fail, json, stream } from '../client/fake-gateway.ts';
import { OBEYED, UNPRINTABLE } from '../support/hostile-answers.ts';

const HOSTILE = `a${UNPRINTABLE}b`;
/** What a command reads as a time; everything else is hostile. */
const TIME = '2026-01-01T00:00:00.000Z';

/** A value that fits the schema, in which every text is hostile that may be. */
function hostile(schema: z.core.$ZodType, name = ''): unknown {
  const def = schema._zod.def as unknown as Record<string, unknown> & { type: string };
  const inner = (member: string): unknown => hostile(def[member] as z.core.$ZodType, name);
  if (/At$|Since$|^(at|since|start|end|until)$/.test(name) && def.type !== 'nullable' && def.type !== 'optional')
    return TIME;
  switch (def.type) {
    case 'string':
      return HOSTILE;
    case 'number':
      return 1;
    case 'boolean':
      return true;
    case 'enum':
      return Object.values(def.entries as object)[0];
    case 'literal':
      return (def.values as unknown[])[0];
    case 'array':
      return [inner('element')];
    case 'tuple':
      return (def.items as z.core.$ZodType[]).map((item) => hostile(item, name));
    case 'record':
      return name === 'counts' ? { exited: 1 } : { [HOSTILE]: inner('valueType') };
    case 'object':
      return Object.fromEntries(
        Object.entries(def.shape as Record<string, z.core.$ZodType>).map(([key, each]) => [key, hostile(each, key)]),
      );
    case 'union':
      return hostile((def.options as z.core.$ZodType[])[0] as z.core.$ZodType, name);
    case 'pipe':
      return inner('in');
    default:
      return inner('innerType');
  }
}

const COMMANDS: readonly (readonly [route: keyof typeof ANSWERS, ...argv: string[]])[] = [
  ['GET /v1/nodes', 'nodes'],
  ['GET /v1/nodes/:node', 'nodes', 'show', 'x'],
  ['POST /v1/nodes/:node/revoke', 'nodes', 'revoke', 'x'],
  ['GET /v1/pending', 'nodes', 'pending'],
  ['POST /v1/pending/:which', 'nodes', 'approve', 'x'],
  ['GET /v1/keys', 'keys', 'list'],
  ['POST /v1/keys/:key/revoke', 'keys', 'revoke', 'x'],
  ['GET /v1/invites', 'invites', 'list'],
  ['GET /v1/jobs', 'jobs'],
  ['GET /v1/jobs/:job', 'jobs', 'show', 'x'],
  ['POST /v1/jobs/:job/cancel', 'jobs', 'cancel', 'x'],
  ['GET /v1/health', 'health'],
  ['GET /v1/health', 'health', 'x'],
  ['GET /v1/nodes/:node/processes', 'health', 'x', '--processes'],
  ['GET /v1/alerts', 'alerts'],
  ['GET /v1/alerts', 'alerts', '--jsonl'],
  ['GET /v1/alerts/silences', 'alerts', 'silences'],
  ['POST /v1/alerts/silences', 'alerts', 'silence', 'x', '--for', '1h'],
  ['POST /v1/alerts/test', 'alerts', 'test'],
  ['GET /v1/schedules/:schedule/history', 'schedule', 'history', 'x'],
  ['POST /v1/schedules/:schedule/run', 'schedule', 'run', 'x'],
  ['GET /v1/gateway', 'gateway', 'status'],
  ['POST /v1/gateway/reload', 'gateway', 'reload'],
  ['POST /v1/gateway/rotate-key', 'gateway', 'rotate-key'],
];

test('no command prints what a terminal would obey, whatever a gateway answers', { timeout: 120_000 }, async (t) => {
  const gateway = await new FakeGateway().listen();
  t.after(() => gateway.close());
  for (const [pattern, ...argv] of COMMANDS) {
    const { answer } = ANSWERS[pattern];
    const value = hostile(answer as z.ZodType);
    assert.ok(answer.safeParse(value).success, pattern);
    const route = pattern.replace(/:\w+/, 'x');
    gateway.answerWith(route, json(value));
    for (const more of argv.includes('--jsonl') ? [[]] : [[], ['--json']]) {
      const world = new TestWorld(gateway.home);
      const { stdout, stderr } = await world.run(...argv, ...more);
      const what = [...argv, ...more].join(' ');
      assert.ok(stdout.length + stderr.length > 0, what);
      assert.doesNotMatch(stderr, /way that this version does not know|defect/, what);
      assert.doesNotMatch(stdout, OBEYED, what);
      assert.doesNotMatch(stderr, OBEYED, what);
    }
    gateway.answerWith(route, fail(403, 'forbidden', HOSTILE, HOSTILE));
    for (const more of [[], ['--json']]) {
      const { stdout, stderr } = await new TestWorld(gateway.home).run(...argv.slice(0, 3), ...more);
      assert.doesNotMatch(stdout + stderr, OBEYED, `${argv.join(' ')} refused`);
    }
  }
});

test('--jsonl of a followed job escapes what its output and reasons hold', async (t) => {
  const gateway = await new FakeGateway().listen();
  t.after(() => gateway.close());
  const run = { run: 'j.0', index: 0, node: 'n' };
  const end = {
    ...(hostile(ROUTES['GET /v1/jobs/:job'].answer) as { runs: object[] }).runs[0],
    ...run,
    job: 'j',
    state: 'unknown',
    reason: HOSTILE,
  };
  gateway.answerWith(
    'POST /v1/jobs',
    stream(
      { type: 'job', job: 'j', runs: [{ ...run, state: 'queued' }] },
      { type: 'stdout', ...run, next: 9, data: HOSTILE },
      { type: 'end', next: 10, ...end } as never,
      { type: 'done', job: 'j' },
    ),
  );
  const { stdout } = await new TestWorld(gateway.home).run('run', '--jsonl', 'n', 'true');
  assert.doesNotMatch(stdout, OBEYED);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; data?: string });
  assert.equal(lines.find(({ type }) => type === 'stdout')?.data, HOSTILE);
});

test('rows of the audit log that are none are shown as such, and hide no others', async (t) => {
  const gateway = await new FakeGateway().listen();
  t.after(() => gateway.close());
  const actor = { name: 'ann', role: 'admin', via: 'socket', key: null, address: null };
  const row = { seq: 1, prev: 'p', hash: 'h', at: '2026', actor, action: 'node.revoke', outcome: 'ok', details: {} };
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
  const wrong = [
    { ...row, actor: undefined },
    { ...row, actor: { ...actor, name: 7 } },
    { ...row, actor: { ...actor, role: null } },
    { ...row, at: {} },
    { ...row, action: 7 },
    { ...row, outcome: null },
    { ...row, details: null },
  ];
  const lines = [...wrong.map((each) => JSON.stringify(each)), deep, 'x\u001b[31m'];
  lines.push(JSON.stringify(row).replace('"details":{}', `"details":{"a":${deep}}`));
  gateway.answerWith('GET /v1/audit', json({ lines: [...lines, JSON.stringify(row)], next: null }));
  const { stdout, stderr } = await new TestWorld(gateway.home).run('audit');
  assert.equal(stderr, '');
  assert.equal(stdout.match(/unreadable/g)?.length, lines.length);
  assert.match(stdout, /ann \(admin\) .*node\.revoke/);
  assert.doesNotMatch(stdout, OBEYED);
});
