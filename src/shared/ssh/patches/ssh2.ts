/**
 * The only import of ssh2's code, after blocking a native cipher module that would abort the whole process.
 *
 * Compiled against the headers of Node.js 24.19 or newer 24.x, the destructor of every cipher object calls
 * RemoveEnvironmentCleanupHook, which fails an assertion when the garbage collector runs it, some time after a connection has ended
 * (nodejs/node#65446, mscdex/ssh2#1511). ssh2 works without the module, on node:crypto.
 */
import { readFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';

const ADDON = 'ssh2/lib/protocol/crypto/build/Release/sshcrypto.node';
const DEADLY_SYMBOL = 'RemoveEnvironmentCleanupHook';

const require = createRequire(import.meta.url);

const file = findAddon();
if (file !== undefined && readFileSync(file).includes(DEADLY_SYMBOL)) {
  // ssh2 destructures what it requires inside a try, and continues without it when that throws.
  const blocked = new Module(file);
  blocked.loaded = true;
  blocked.exports = undefined;
  require.cache[file] = blocked;
}

/** Undefined if it was never built, being optional. */
function findAddon(): string | undefined {
  try {
    return require.resolve(ADDON);
  } catch {
    return undefined;
  }
}

export const { Client, Server, utils } = require('ssh2') as typeof import('ssh2');
