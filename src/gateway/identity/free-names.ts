/** Names are unique: among nodes, and among the people who may come in. Here a newcomer gets one. */
import type { Role } from '../../protocol/roles.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Store } from '../store/store.ts';

/** `createdBy` of jobs and log lines say these of callers without a key of their own. */
const RESERVED_FOR_PEOPLE: ReadonlySet<string> = new Set(['local', 'api', 'unknown', 'gateway']);
/** Leaves room for a dash and a number within the 63 characters of a name. */
const MAX_STEM_LENGTH = 56;

/** @throws FleetError `name_taken`. */
export function assertNameFree(store: Store, role: Role, name: string): void {
  if (isTaken(store, role, name)) throw nameTaken(role, name);
}

/** `wanted` itself, or with a number behind it when it is taken and was only a suggestion. @throws FleetError `name_taken`. */
export function chooseName(store: Store, role: Role, wanted: string, required: boolean): string {
  if (required) assertNameFree(store, role, wanted);
  if (!isTaken(store, role, wanted)) return wanted;
  for (let suffix = 2; ; suffix += 1) {
    const name = `${wanted.slice(0, MAX_STEM_LENGTH)}-${suffix}`;
    if (!isTaken(store, role, name)) return name;
  }
}

function isTaken(store: Store, role: Role, name: string): boolean {
  if (role === 'node') return store.nodes.byName(name) !== undefined;
  return RESERVED_FOR_PEOPLE.has(name) || store.people.byName(name) !== undefined;
}

function nameTaken(role: Role, name: string): FleetError {
  if (role === 'node') {
    return new FleetError('name_taken', `there is already a node called ${name}`, {
      hint: 'Choose another with --name, or remove the old one: fleet nodes rm NAME.',
    });
  }
  return new FleetError('name_taken', `a person cannot be called ${name}: the name is taken`, {
    hint: 'Choose another with --name, or end the old key: fleet keys revoke NAME.',
  });
}
