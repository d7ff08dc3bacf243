import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

const SOURCE = path.resolve(import.meta.dirname, '../../src');

/** Everything that a process loads for these arguments: our files, and packages by name. */
function loadedFor(home: string, ...argv: string[]): string[] {
  const trace = `
    import { registerHooks } from 'node:module';
    import { writeSync } from 'node:fs';
    registerHooks({ load(url, context, next) { writeSync(2, 'LOADED ' + url + '\\n'); return next(url, context); } });
  `;
  const hook = `data:text/javascript,${encodeURIComponent(trace)}`;
  const { stderr } = spawnSync(
    process.execPath,
    ['--import', hook, path.join(SOURCE, 'bin.ts'), '--home', home, ...argv],
    {
      encoding: 'utf8',
      timeout: 20_000,
    },
  );
  const urls = [...stderr.matchAll(/^LOADED (.*)$/gm)].map(([, url = '']) => url);
  return urls
    .filter((url) => url.startsWith('file:') || url.startsWith('node:'))
    .map((url) => url.replace(`file://${SOURCE}/`, '').replace(/^.*node_modules\//, 'package '));
}

test('fleet run loads nothing heavy: no package, no schema, no other command', { timeout: 60_000 }, () => {
  const loaded = loadedFor('/nonexistent', 'run', '--timeout', '3s', 'node-1', 'true');
  assert.ok(loaded.includes('cli/commands/run.ts'), loaded.join('\n'));
  assert.deepEqual(
    loaded.filter((name) => name.startsWith('package ')),
    [],
  );
  assert.deepEqual(
    loaded.filter((name) => name.startsWith('cli/commands/')),
    ['cli/commands/run.ts'],
  );
  assert.deepEqual(
    loaded.filter((name) => /^(gateway|node)\//.test(name)),
    [],
  );
  assert.ok(loaded.includes('client/follow-job.ts'), loaded.join('\n'));
  const light = ['node:buffer', 'node:events', 'node:fs', 'node:http', 'node:os', 'node:path', 'node:util'];
  assert.deepEqual(
    loaded.filter((name) => name.startsWith('node:') && !light.includes(name)),
    [],
  );
});

test('a gateway elsewhere costs ssh2 and no schema', { timeout: 60_000 }, () => {
  const loaded = loadedFor('/nonexistent', '--gateway', 'localhost:1', 'run', 'node-1', 'true');
  const packages = new Set(loaded.filter((name) => name.startsWith('package ')).map((name) => name.split('/')[0]));
  assert.ok(packages.has('package ssh2'), [...packages].join('\n'));
  for (const heavy of ['zod', 'jose', 'fastify', 'pino', 'yargs']) {
    assert.ok(!packages.has(`package ${heavy}`), heavy);
  }
});

test('yargs is loaded for help and for what is wrong', { timeout: 60_000 }, () => {
  for (const argv of [
    ['nodes', '--help'],
    ['nodes', '--nope'],
  ]) {
    const loaded = loadedFor('/nonexistent', ...argv);
    assert.ok(
      loaded.some((name) => name.startsWith('package yargs/')),
      argv.join(' '),
    );
  }
});
