/**
 * Bundles the CLI with esbuild: one small file for what people type all day, one for the way to
 * gateways elsewhere, and one each for the long-running gateway and node.
 */
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';

const root = path.resolve(import.meta.dirname, '..');
const staging = path.join(root, 'dist.new');
const target = path.join(root, 'dist');

/** The entry: turns on Node's compile cache before anything large is loaded (nodejs.org/api/module.html#module-compile-cache). */
const ENTRY = `#!/usr/bin/env node
'use strict';
const nodeModule = require('node:module');
nodeModule.enableCompileCache?.(require('node:path').join(__dirname, 'cache'));
require('./cli.cjs');
`;

/** The services are bundles of their own, so that \`fleet run\` never reads them. */
const servicesApart: Plugin = {
  name: 'services-apart',
  setup(context) {
    context.onResolve({ filter: /^\.\/(gateway|node|remote)\/main\.ts$/ }, ({ path: imported }) => {
      const name = imported.split('/')[1] ?? '';
      return { path: `./${name}.${name === 'remote' ? 'cjs' : 'mjs'}`, external: true };
    });
    context.onResolve({ filter: /\/protocol\/routes\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './answers.cjs', external: true } : undefined,
    );
  },
};

const common: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node22',
  absWorkingDir: root,
  logLevel: 'warning',
};

/** CommonJS: Node starts it without its ES module loader, which saves some milliseconds of every command. */
const cli: BuildOptions = {
  ...common,
  entryPoints: ['src/bin.ts'],
  outfile: path.join(staging, 'cli.cjs'),
  format: 'cjs',
  minify: true,
  metafile: true,
  plugins: [servicesApart],
  define: { 'import.meta.url': '__bundleUrl' },
  banner: { js: "const __bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
};

/** With all that it needs: small, and quick to start. */
const shim: BuildOptions = {
  ...common,
  entryPoints: ['src/node/shim/main.ts'],
  outfile: path.join(staging, 'shim.mjs'),
  format: 'esm',
  minify: true,
  metafile: true,
  // What of execa is CommonJS asks for it.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
};

/** CommonJS, too: there a package is loaded where it is required, and schemas are only for logging in. */
const remote: BuildOptions = {
  ...common,
  entryPoints: ['src/remote/main.ts'],
  outfile: path.join(staging, 'remote.cjs'),
  format: 'cjs',
  minify: true,
  packages: 'external',
  define: { 'import.meta.url': '__bundleUrl' },
  banner: { js: "const __bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
};

/** With zod inside, so that it is one file to read. */
const answers: BuildOptions = {
  ...common,
  entryPoints: ['src/protocol/routes.ts'],
  outfile: path.join(staging, 'answers.cjs'),
  format: 'cjs',
  minify: true,
};

const service = (name: string): BuildOptions => ({
  ...common,
  entryPoints: [`src/${name}/main.ts`],
  outfile: path.join(staging, `${name}.mjs`),
  format: 'esm',
  packages: 'external',
});

/** Each of these would cost every command of the CLI, or every fork, milliseconds; one careless import is enough. @throws Error */
function assertLight(name: string, metafile: Metafile | undefined, heavy: string[]): void {
  const inputs = Object.keys(metafile?.inputs ?? {});
  const found = heavy.filter((packageName) => inputs.some((input) => input.includes(`node_modules/${packageName}/`)));
  if (found.length > 0) throw new Error(`the bundle of ${name} has become heavy: ${found.join(', ')}`);
}

rmSync(staging, { recursive: true, force: true });
mkdirSync(staging, { recursive: true });
const [ofCli, ofShim] = await Promise.all([
  build(cli),
  build(shim),
  build(remote),
  build(answers),
  build(service('gateway')),
  build(service('node')),
]);
const heavy = ['zod', 'fastify', 'pino', 'ssh2', 'jose'];
assertLight('the CLI', ofCli.metafile, [...heavy, 'execa']);
assertLight('the shim', ofShim.metafile, [...heavy, 'better-sqlite3']);
const entry = path.join(staging, 'fleet.cjs');
writeFileSync(entry, ENTRY);
chmodSync(entry, 0o755);
rmSync(target, { recursive: true, force: true });
renameSync(staging, target);
