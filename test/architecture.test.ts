import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const ROOT = path.join(import.meta.dirname, '..', 'src');
const MAX_LINES = 350;

interface Module {
  /** Relative to src, with slashes. */
  file: string;
  text: string;
  /** What it imports: static, type-only, dynamic, re-exported. Own modules relative to src. */
  imports: string[];
}

function readModules(): Module[] {
  const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return files.map((file) => {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    return { file: file.replaceAll(path.sep, '/'), text, imports: importsOf(file, text) };
  });
}

function importsOf(file: string, text: string): string[] {
  const code = withoutComments(text);
  const specifiers = [...code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(['"`])([^'"`\s]+)\1/g)];
  return specifiers.map(([, , specifier = '']) =>
    specifier.startsWith('.')
      ? path.posix.join(path.posix.dirname(file.replaceAll(path.sep, '/')), specifier)
      : specifier,
  );
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

const modules = readModules();

/** For each layer, the layers that it may import besides itself. */
const LAYERS: Record<string, readonly string[]> = {
  shared: [],
  domain: ['shared'],
  protocol: ['domain', 'shared'],
  client: ['protocol', 'domain', 'shared'],
  cli: ['client', 'protocol', 'domain', 'shared'],
  gateway: ['protocol', 'domain', 'shared'],
  node: ['protocol', 'domain', 'shared'],
  remote: ['protocol', 'domain', 'shared'],
};

/** Where a process begins. */
const ENTRIES = ['bin.ts', 'node/shim/main.ts'];

/** Chosen for this project from the beginning; they stay. */
const REQUIRED = ['ssh2', 'tweetnacl', 'jose', 'better-sqlite3', 'p-queue', 'systeminformation', 'yargs', 'execa'];

/** Third-party packages with a wide surface, and the only places that know them. */
const WRAPPED: Record<string, readonly string[]> = {
  ssh2: ['shared/ssh/'],
  'better-sqlite3': ['gateway/store/', 'node/runner/journal.ts', 'shared/sqlite.ts'],
  execa: ['node/process/', 'node/runner/', 'node/shim/launch.ts'],
  systeminformation: ['node/metrics/'],
  'p-queue': ['gateway/bus/'],
  tweetnacl: ['shared/ssh/identity.ts'],
  jose: ['gateway/identity/', 'node/api/verify-ticket.ts'],
  pino: ['shared/log.ts'],
  yaml: ['shared/config.ts'],
  yargs: ['cli/'],
  diff: ['cli/output/'],
  croner: ['gateway/schedule/cron.ts'],
  'prom-client': ['gateway/monitoring/metrics/'],
};

test('the reader of imports sees every kind of them', () => {
  const text = `import a from './a.ts';
    import type { B } from "../b.ts";
    import './c.ts';
    export * from './d.ts';
    const e = await import('./e.ts');
    type F = import('./f.ts').F;
    const g = require('ssh2');
    // import './not.ts'
    /** from './nor.ts' */`;
  const expected = ['x/a.ts', 'b.ts', 'x/c.ts', 'x/d.ts', 'x/e.ts', 'x/f.ts', 'ssh2'];
  assert.deepEqual(importsOf('x/y.ts', text), expected);
});

test('imports point one way', () => {
  const wrong = modules.flatMap(({ file, imports }) => {
    const layer = file.split('/')[0] ?? '';
    if (layer === 'bin.ts') return [];
    const allowed = LAYERS[layer];
    assert.ok(allowed, `src/${file} belongs to no layer`);
    const own = imports.filter((name) => name.endsWith('.ts') || name.startsWith('..'));
    return own
      .filter((name) => ![layer, ...allowed].includes(name.split('/')[0] ?? ''))
      .map((name) => `src/${file} imports ${name}`);
  });
  assert.deepEqual(wrong, []);
});

test('no circles of files or of folders', () => {
  const known = new Set(modules.map(({ file }) => file));
  const files = modules.map(({ file, imports }) => [file, imports.filter((name) => known.has(name))] as const);
  const folders = files.map(
    ([file, imports]) => [path.posix.dirname(file), imports.map((name) => path.posix.dirname(name))] as const,
  );
  assert.deepEqual(circle(files), undefined);
  assert.deepEqual(circle(folders), undefined);
  assert.deepEqual(
    circle([
      ['a', ['b', 'a']],
      ['b', ['c']],
      ['c', ['a']],
    ]),
    ['a', 'b', 'c', 'a'],
  );
});

/** The names along one circle; undefined if there is none. Importing oneself is none. */
function circle(edges: readonly (readonly [from: string, to: readonly string[]])[]): string[] | undefined {
  const targets = new Map<string, Set<string>>();
  for (const [from, to] of edges) {
    const present = targets.get(from) ?? new Set();
    for (const name of to) if (name !== from) present.add(name);
    targets.set(from, present);
  }
  const done = new Set<string>();
  const visit = (name: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const next of targets.get(name) ?? []) {
      const found = visit(next, [...trail, name]);
      if (found !== undefined) return found;
    }
    done.add(name);
    return undefined;
  };
  for (const name of targets.keys()) {
    const found = visit(name, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

test('each wrapped package is known in one place, and every package that is used is a dependency', () => {
  const { dependencies } = JSON.parse(readFileSync(path.join(ROOT, '..', 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const used = new Set<string>();
  const wrong: string[] = [];
  for (const { file, imports } of modules) {
    for (const name of imports.filter((specifier) => !specifier.endsWith('.ts') && !specifier.startsWith('node:'))) {
      const parts = name.split('/');
      const dependency = name.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
      used.add(dependency);
      const places = WRAPPED[dependency];
      if (places !== undefined && !places.some((place) => file.startsWith(place)))
        wrong.push(`src/${file} imports ${name}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual([...used].sort(), Object.keys(dependencies).sort());
  assert.deepEqual(
    REQUIRED.filter((name) => !used.has(name)),
    [],
  );
});

test('only the entries of processes end the process or listen for signals', () => {
  const pattern = /process\s*\.\s*(exit\s*\(|abort\s*\(|(on|once|addListener)\s*\(\s*['"`](SIG|uncaught|unhandled))/;
  const wrong = modules.filter(({ file, text }) => !ENTRIES.includes(file) && pattern.test(withoutComments(text)));
  assert.deepEqual(
    wrong.map(({ file }) => file),
    [],
  );
  assert.match(modules.find(({ file }) => file === 'bin.ts')?.text ?? '', pattern);
});

test('no file is longer than a reader can hold', () => {
  const long = modules.filter(({ text }) => text.split('\n').length - 1 > MAX_LINES);
  assert.deepEqual(
    long.map(({ file }) => file),
    [],
  );
});

test('no any, no barrel files, and every module opens with why it exists', () => {
  const anys = modules.filter(({ text }) => /(:|<|\bas|\|)\s*any\b(?!\s*\w)/.test(withoutComments(text)));
  assert.deepEqual(
    anys.map(({ file }) => file),
    [],
  );
  const barrels = modules.filter(({ file, text }) => /(^|\/)index\.ts$/.test(file) || /^export \* from/m.test(text));
  assert.deepEqual(
    barrels.map(({ file }) => file),
    [],
  );
  const silent = modules.filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text));
  assert.deepEqual(
    silent.map(({ file }) => file),
    [],
  );
});

test('what another machine answers is read with a schema', () => {
  const wrong = modules.flatMap(({ file, text }) => {
    if (file === 'shared/http/request.ts') return [];
    // The schema is the second argument of one and the third of the other.
    const calls = [...withoutComments(text).matchAll(/\b(requestJson|readJson)(?:<[^(]*>)?\(([^;]*?)\)(?:\)|;|\.|,)/g)];
    return calls
      .filter(([, , given = '']) => !/schema|Answer\b|answers?\[|ANSWERS\[|Schema\b/i.test(given))
      .map(([call]) => `${file}: ${call}`);
  });
  assert.deepEqual(wrong, []);
});
