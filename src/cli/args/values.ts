/** Whole numbers of the command line. */

import type { ClaimView } from '../../protocol/views.ts';
import { parseDuration } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { describeBadByte, REPLACEMENT } from '../../shared/os-bytes.ts';
import { trimPasted } from '../../shared/pasted.ts';
import type { World } from '../context/context.ts';

/** A whole number from 1 on. @throws FleetError `usage`; `option` names it in the message. */
export function parseCount(text: string, option: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new FleetError('usage', `${option} is not a whole number from 1 on: ${text}`);
  return Number(text);
}

/** The last one of a key counts. @throws FleetError `usage`. */
export function parsePairs(texts: readonly string[], option: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1) {
      throw new FleetError('usage', `${option} is not of the form K=V: ${JSON.stringify(text)}`, {
        hint: `Write it like ${option} site=berlin`,
      });
    }
    pairs[trimPasted(text.slice(0, equals))] = trimPasted(text.slice(equals + 1));
  }
  return pairs;
}

/** What is asked for: `role=db, -site, agent:coder`; empty for nothing. */
export function formatClaim({ labels, capabilities }: ClaimView): string {
  const changes = Object.keys(labels)
    .sort()
    .map((key) => (labels[key] === null ? `-${key}` : `${key}=${labels[key]}`));
  return [...changes, ...capabilities].join(', ');
}

/** `a=1,b=2`, by key; empty without labels. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  const keys = Object.keys(labels).sort();
  return keys.map((key) => `${key}=${labels[key]}`).join(',');
}

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

/** @throws FleetError `usage` for what is no duration, and for zero. */
export function parsePositiveDuration(text: string, what: string): number {
  const ms = parseDuration(text, what);
  if (ms <= 0) throw new FleetError('usage', `${what} must be greater than zero: ${text}`);
  return ms;
}
