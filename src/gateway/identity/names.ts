/** Names, ids and prefixes of ids share one namespace: no newcomer gets a name or an id that could be taken for another's. */
import { randomBytes } from 'node:crypto';
import { MIN_ID_PREFIX } from '../../domain/selector.ts';
import type { Role } from '../../domain/vocabulary.ts';
import { normalizeBase32, randomBase32 } from '../../shared/base32.ts';
import { FleetError } from '../../shared/errors.ts';
import type { LookUpTable } from '../store/look-up.ts';
import type { IdentityStore } from './tables.ts';

/** Names of callers without a key of their own, in logs and as `createdBy` of jobs. */
const RESERVED_FOR_PEOPLE: ReadonlySet<string> = new Set(['local', 'api', 'unknown', 'gateway']);
/** Leaves room for a dash and a number within the 63 characters of a name. */
const MAX_STEM_LENGTH = 56;
const ID_LENGTH = 12;

/** @param ownId Of the renamed one. @throws FleetError `name_taken`. */
export function assertNameFree(store: IdentityStore, role: Role, name: string, ownId?: string): void {
  const obstacle = obstacleTo(store, role, name, ownId);
  if (obstacle !== undefined) throw obstacle;
}

/** `wanted`, with a number appended if it is taken and not required. @throws FleetError `name_taken`. */
export function chooseName(store: IdentityStore, role: Role, wanted: string, required: boolean): string {
  if (required) assertNameFree(store, role, wanted);
  let name = wanted;
  for (let suffix = 2; obstacleTo(store, role, name) !== undefined; suffix += 1) {
    name = `${wanted.slice(0, MAX_STEM_LENGTH)}-${suffix}`;
  }
  return name;
}

/** A random id that is no id or name in the tables, and that no name could be taken as a prefix of. */
export function newId(
  tables: readonly LookUpTable<unknown>[],
  bytes = randomBytes as (size: number) => Uint8Array,
): string {
  for (;;) {
    const id = randomBase32(ID_LENGTH, bytes);
    const names = Array.from({ length: ID_LENGTH - MIN_ID_PREFIX + 1 }, (_, more) => id.slice(0, MIN_ID_PREFIX + more));
    const isTaken = tables.some(
      (table) => table.byId(id) !== undefined || names.some((name) => table.byName(name) !== undefined),
    );
    if (!isTaken) return id;
  }
}

/** Why nobody of that role may get the name. */
function obstacleTo(store: IdentityStore, role: Role, name: string, ownId?: string): FleetError | undefined {
  const taken = (message: string, alternative = ''): FleetError =>
    new FleetError('name_taken', message, { hint: `Choose another name${alternative}.` });
  const isNode = role === 'node';
  const present = isNode ? store.nodes.byName(name) : store.people.byName(name);
  if (present !== undefined && present.id !== ownId) {
    return isNode
      ? taken(`there is already a node called ${name}`, `, or remove the old node: fleet nodes rm ${name}`)
      : taken(`there is already a person called ${name}`, `, or revoke the old key: fleet keys revoke ${name}`);
  }
  if (!isNode && RESERVED_FOR_PEOPLE.has(name)) return taken(`the name ${name} is reserved`);
  const owner = ownerOfId(store, name, ownId);
  return owner === undefined ? undefined : taken(`${name} could be taken for the id of ${owner}`);
}

/** Owner of an id that equals, starts with or reads like the name: `0` and `o`, `1` and `l` are easily confused. */
function ownerOfId(store: IdentityStore, name: string, ownId: string | undefined): string | undefined {
  for (const text of new Set([name, normalizeBase32(name) ?? name])) {
    if (text.length < MIN_ID_PREFIX) continue;
    const node = store.nodes.byIdPrefix(text).find(({ id }) => id !== ownId);
    if (node !== undefined) return `the node ${node.name}`;
    const person = store.people.byIdPrefix(text).find(({ id }) => id !== ownId);
    if (person !== undefined) return `the person ${person.name}`;
    const removed = store.nodes.removedByIdPrefix(text);
    if (removed !== undefined) return `${removed}, which was removed`;
  }
  return undefined;
}
