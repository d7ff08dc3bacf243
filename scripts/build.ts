/** Bundles the CLI with esbuild: one small file for what people type all day, and one each for the long-running gateway and node. */
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';

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
    context.onResolve({ filter: /^\.\/(gateway|node)\/main\.ts$/ }, ({ path: imported }) => ({
      path: `./${imported.split('/')[1]}.mjs`,
      external: true,
    }));
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

const service = (name: string): BuildOptions => ({
  ...common,
  entryPoints: [`src/${name}/main.ts`],
  outfile: path.join(staging, `${name}.mjs`),
  format: 'esm',
  packages: 'external',
});

/** Each of these would cost every command of the CLI milliseconds; one careless import is enough. @throws Error when one is bundled. */
function assertLight(inputs: string[]): void {
  const heavy = ['zod', 'fastify', 'pino', 'ssh2', 'jose', 'execa'].filter((name) =>
    inputs.some((input) => input.includes(`node_modules/${name}/`)),
  );
  if (heavy.length > 0) throw new Error(`the bundle of the CLI has become heavy: ${heavy.join(', ')}`);
}

rmSync(staging, { recursive: true, force: true });
mkdirSync(staging, { recursive: true });
const [{ metafile }] = await Promise.all([build(cli), build(service('gateway')), build(service('node'))]);
assertLight(Object.keys(metafile?.inputs ?? {}));
const entry = path.join(staging, 'fleet.cjs');
writeFileSync(entry, ENTRY);
chmodSync(entry, 0o755);
rmSync(target, { recursive: true, force: true });
renameSync(staging, target);
