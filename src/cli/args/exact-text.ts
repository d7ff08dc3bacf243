/**
 * Refuses text that Node.js has not decoded exactly. argv and the environment are bytes; what is not UTF-8 in them arrives as U+FFFD, and
 * so would be another command, another file or another value. Messages never quote the text: it may be a secret.
 */
import { FleetError } from '../../shared/errors.ts';
import { describeBadByte, REPLACEMENT } from '../../shared/os-bytes.ts';
import type { World } from '../context.ts';

const NUL = 0;
const HINT =
  "fleet sends text as UTF-8. Let the node's shell make other bytes, for example: rm \"$(printf 'caf\\351')\"";

/** Checks the arguments and fleet's own variables. @throws FleetError `usage` naming the first that is not UTF-8. */
export function requireExactText(argv: readonly string[], world: Pick<World, 'env' | 'osBytes'>): void {
  for (const name of Object.keys(world.env)) if (name.startsWith('FLEET_')) exactVariable(name, world);
  if (!argv.some((arg) => arg.includes(REPLACEMENT))) return;
  // Before them stand Node.js, its options and the script, which are not counted alike by every launcher.
  const given = splitAtNul(world.osBytes('cmdline')).slice(-argv.length);
  for (const [index, arg] of argv.entries())
    if (arg.includes(REPLACEMENT)) requireExact(arg, given[index], `argument ${index + 1}`);
}

/** The value of a variable. @throws FleetError `usage` when it is not UTF-8. */
export function exactVariable(name: string, { env, osBytes }: Pick<World, 'env' | 'osBytes'>): string | undefined {
  const value = env[name];
  if (value === undefined || !value.includes(REPLACEMENT)) return value;
  const entry = splitAtNul(osBytes('environ')).find((bytes) => bytes.toString('latin1').startsWith(`${name}=`));
  requireExact(value, entry?.subarray(name.length + 1), `the variable ${name}`);
  return value;
}

/** A U+FFFD may stand in the bytes themselves; where they cannot be read, it is taken for a loss. */
function requireExact(text: string, bytes: Buffer | undefined, what: string): void {
  const fault = bytes === undefined ? undefined : describeBadByte(bytes);
  if (fault === undefined && bytes?.toString('utf8') === text) return;
  throw new FleetError('usage', fault === undefined ? `${what} is not UTF-8` : `${fault} of ${what}: not UTF-8`, {
    hint: HINT,
  });
}

function splitAtNul(bytes: Buffer | undefined): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0; bytes !== undefined && start < bytes.length; ) {
    const end = bytes.indexOf(NUL, start);
    parts.push(bytes.subarray(start, end < 0 ? bytes.length : end));
    start = (end < 0 ? bytes.length : end) + 1;
  }
  return parts;
}
