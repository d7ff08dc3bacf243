import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { heartbeatSchema } from '../../src/protocol/heartbeat.ts';
import { nodeFactsSchema, nodeHelloRequest } from '../../src/protocol/node-messages.ts';
import { runOutcomeSchema } from '../../src/protocol/run-spec.ts';
import { formatDuration } from '../../src/shared/duration.ts';
import { FACTS } from '../gateway/identity/fixtures.ts';
import { HEALTHY } from '../gateway/monitoring/judge/healthy-heartbeat.ts';
import { OBEYED, UNPRINTABLE } from '../support/hostile-answers.ts';

const FOLDER = path.join(import.meta.dirname, '../../src');

/** The parts of zod's definition of a schema that this test looks at. */
interface Definition {
  type: string;
  checks?: { _zod: { def: { check?: string; format?: string; value?: number; maximum?: number; params?: object } } }[];
  [member: string]: unknown;
}

/** Paths of all strings, arrays, records and numbers without a limit in a schema, and of what may be anything. */
function unlimited(schema: unknown, where: string, seen = new Set<unknown>()): string[] {
  if (!isSchema(schema) || seen.has(schema)) return [];
  seen.add(schema);
  const def = schema._zod.def;
  const checks = (def.checks ?? []).map((check) => check._zod.def);
  const has = (...names: string[]): boolean => checks.some(({ check = '' }) => names.includes(check));
  const fault = (isBounded: boolean): string[] => (isBounded ? [] : [`${where}: ${def.type}`]);
  const own = (): string[] => {
    switch (def.type) {
      case 'string':
        return fault(has('max_length', 'length_equals'));
      case 'array':
        return fault(has('max_length', 'length_equals'));
      case 'record':
        return fault(checks.some(({ params }) => params !== undefined && 'maxKeys' in params));
      case 'number': {
        const isInteger = checks.some(({ format }) => format === 'safeint');
        return fault(isInteger || (has('less_than') && has('greater_than')));
      }
      case 'any':
      case 'unknown':
      case 'map':
      case 'set':
      case 'file':
      case 'bigint':
        return fault(false);
      default:
        return [];
    }
  };
  const inner = Object.entries(def).flatMap(([member, value]): [string, unknown][] => {
    if (member === 'checks') return [];
    if (member === 'shape') return Object.entries(value as object).map(([key, each]) => [`${where}.${key}`, each]);
    if (Array.isArray(value)) return value.map((each) => [where, each]);
    return [[where, value]];
  });
  return [...own(), ...inner.flatMap(([place, each]) => unlimited(each, place, seen))];
}

function isSchema(value: unknown): value is { _zod: { def: Definition } } {
  return typeof value === 'object' && value !== null && '_zod' in value && 'parse' in value;
}

test('the walk finds what has no limit, however deep', () => {
  const schema = z.object({
    a: z.array(z.string()).max(3),
    b: z.record(z.string().max(3), z.number()).optional(),
    c: z.discriminatedUnion('kind', [z.object({ kind: z.literal('x'), text: z.string().nullable().catch(null) })]),
    d: z.string().transform((text) => text.length),
    e: z.number().int(),
    f: z.number().min(0).max(1),
    g: z.lazy(() => z.string().max(1)),
  });
  assert.deepEqual(unlimited(schema, 's'), [
    's.a: string',
    's.b: record',
    's.b: number',
    's.c.text: string',
    's.d: string',
  ]);
});

test('every string, array, record and number of the protocol has a limit', async () => {
  const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /^(protocol|domain)\/.*\.ts$/.test(file),
  );
  const found: string[] = [];
  let schemas = 0;
  for (const file of files) {
    const module = (await import(path.join(FOLDER, file))) as Record<string, unknown>;
    for (const [name, value] of Object.entries(module)) {
      if (!isSchema(value)) continue;
      schemas += 1;
      found.push(...unlimited(value, `${file} ${name}`));
    }
  }
  assert.deepEqual([...new Set(found)], []);
  assert.ok(schemas > 20, `${schemas} schemas`);
});

test('no figure of a heartbeat is shown as Infinity or NaN, whatever a node says', () => {
  const huge = (value: unknown): unknown => {
    if (typeof value === 'number') return 1.7e308;
    if (Array.isArray(value)) return value.map(huge);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, huge(each)]));
  };
  const beat = HEALTHY;
  const said = { ...(huge(beat) as typeof beat), at: beat.at, runsActive: 0 };
  const taken = heartbeatSchema.parse(said);
  const figures: number[] = [];
  JSON.stringify(taken, (_key, value: unknown) => {
    if (typeof value === 'number') figures.push(value);
    return value;
  });
  for (const figure of figures) {
    assert.match(formatDuration(figure), /^[\d.]+(ms|s|m|h|d)/);
    assert.match(formatDuration(figure * 1000), /^[\d.]+(ms|s|m|h|d)/);
  }
  for (const at of [1.7e308, Number.POSITIVE_INFINITY, -1]) {
    assert.equal(heartbeatSchema.safeParse({ ...beat, at }).success, false);
  }
});

test('facts are bounded: 70,000 limits of agents are refused', () => {
  const agentLimits = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`agent-${index}`, 1]));
  const hello = { facts: { ...FACTS, agentLimits }, journal: 'j', protocol: 1 };
  assert.equal(nodeHelloRequest.safeParse(hello).success, false);
});

test('what a node says of itself and of runs is harmless once it was read', () => {
  const facts = nodeFactsSchema.parse({
    ...FACTS,
    hostname: UNPRINTABLE,
    os: UNPRINTABLE,
    capabilities: [UNPRINTABLE],
  });
  const beat = heartbeatSchema.parse({ ...HEALTHY, faults: [UNPRINTABLE] });
  const outcome = runOutcomeSchema.parse({
    state: 'unknown',
    exitCode: null,
    signal: null,
    reason: `${UNPRINTABLE}${'x'.repeat(100_000)}`,
    startedAt: null,
    endedAt: 0,
    stdoutBytes: 0,
    stderrBytes: 0,
    droppedBytes: 0,
  });
  for (const text of [facts.hostname, facts.os, ...facts.capabilities, ...beat.faults, outcome.reason ?? '']) {
    assert.doesNotMatch(text, OBEYED);
  }
  assert.ok((outcome.reason ?? '').length <= 1024);
});
