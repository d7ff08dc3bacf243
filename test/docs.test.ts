import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { exitCodeOfError } from '../src/cli/output/exit-code.ts';
import { gatewayConfigSchema, resolveGatewayConfig } from '../src/gateway/config.ts';
import { nodeConfigSchema, resolveNodeConfig } from '../src/node/config.ts';
import { FLEET_VERSION } from '../src/protocol/version.ts';
import { readConfigFile } from '../src/shared/config.ts';
import { ERROR_CODES, type ErrorCode, httpStatusOf } from '../src/shared/errors.ts';
import { tempFolder } from './support/temp-folder.ts';

const ROOT = path.join(import.meta.dirname, '..');
const EXAMPLE = path.join(ROOT, 'config.example.yaml');

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

test('the version of the package is the version that fleet tells', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  assert.equal(version, FLEET_VERSION);
});

test('docs/errors.md lists every code, with its meaning, exit code and HTTP status, and no other', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| `(\w+)` \| (.+?) \| (\d+) \| (\d+) \|$/gm)].map((match) =>
    match.slice(1),
  );
  const expected = Object.entries(ERROR_CODES).map(([code, [meaning]]) => [
    code,
    meaning,
    String(exitCodeOfError(code as ErrorCode)),
    String(httpStatusOf(code as ErrorCode)),
  ]);
  assert.deepEqual(rows, expected);
});

test('config.example.yaml is a configuration, and says exactly the defaults', () => {
  const sections = readConfigFile(EXAMPLE, true);
  assert.deepEqual(Object.keys(sections), ['gateway', 'node']);
  assert.deepEqual(resolveGatewayConfig(sections.gateway, {}, EXAMPLE), resolveGatewayConfig({}, {}, EXAMPLE));
  assert.deepEqual(resolveNodeConfig(sections.node, {}, EXAMPLE), resolveNodeConfig({}, {}, EXAMPLE));
});

test('config.example.yaml shows every option there is, and what is commented out there is one', () => {
  const text = read('config.example.yaml');
  const [gateway = '', node = ''] = text.split(/^node:$/m);
  const sections = [
    [gatewayConfigSchema, gateway],
    [nodeConfigSchema, node],
  ] as const;
  for (const [schema, part] of sections) {
    const options = optionsOf(schema);
    for (const option of options) assert.match(part, new RegExp(`^ +(# )?${option}:`, 'm'), option);
    const commented = [...part.matchAll(/^ {2}# (\w+): \S+$/gm)].map(([, option = '']) => option);
    assert.ok(commented.length > 0);
    for (const option of commented) assert.ok(options.includes(option), option);
  }
});

test('what config.example.yaml only suggests is legal too', (t) => {
  const file = path.join(tempFolder(t), 'config.yaml');
  writeFileSync(file, read('config.example.yaml').replace(/^ {2}# (\w+: \S+)$/gm, '  $1'));
  const sections = readConfigFile(file, true);
  assert.deepEqual(resolveGatewayConfig(sections.gateway, {}, file).api, { host: '127.0.0.1', port: 18_789 });
  assert.equal(resolveNodeConfig(sections.node, {}, file).name, 'web-1');
});

test('docs/security.md claims nothing without a test that exists', () => {
  const text = read('docs/security.md');
  const cited = [...text.matchAll(/`(test\/[^`]+\.test\.ts) › ([^`]+)`/g)];
  assert.ok(cited.length > 30);
  for (const [, file = '', name = ''] of cited) {
    const quoted = name.replaceAll("'", "\\'");
    const found = [`'${quoted}'`, `"${name}"`, `\`${name}\``].some((title) => read(file).includes(`(${title}`));
    assert.ok(found, `${file} has no test called ${name}`);
  }
  const claims = text.split('\n## ').flatMap((section) => section.split('\n').filter((line) => line.startsWith('- ')));
  for (const claim of claims) assert.match(claim, / › /, 'a claim without a test');
});

test('every path of the project that a document names exists', () => {
  const documents = readdirSync(path.join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.md'),
  );
  const named = ['README.md', ...documents.map((file) => `docs/${file}`)].flatMap((file) =>
    [...read(file).matchAll(/\b(?:src|test|scripts|keys)\/[\w./-]*\w/g)].map(([named]) => `${file}: ${named}`),
  );
  assert.ok(named.length > 50);
  const missing = named.filter((line) => !existsSync(path.join(ROOT, line.split(': ')[1] ?? '')));
  assert.deepEqual(missing, []);
});

/** Names of all options, also of those below others. */
function optionsOf(schema: z.ZodType): string[] {
  const inner = unwrap(schema);
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.entries(inner.shape).flatMap(([name, value]) => [name, ...optionsOf(value as z.ZodType)]);
}

function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return unwrap(schema.unwrap() as z.ZodType);
  }
  return schema;
}
