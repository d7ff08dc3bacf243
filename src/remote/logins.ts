/**
 * What this home knows of remote gateways: for each a private file with the pinned host key and the token, and which one is the
 * default. A file of its own for each, so that two commands at once cannot lose each other's. Read by every remote command, so
 * checked by hand: loading schemas would take longer than the command.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { PERSON_ROLES, type PersonRole } from '../domain/vocabulary.ts';
import { type Address, formatAddress } from '../shared/address.ts';
import { FleetError } from '../shared/errors.ts';
import { type PersonPaths, personPaths } from '../shared/home.ts';
import { ensurePrivateFolder, readPrivateFile } from '../shared/private-file.ts';
import { readIfExists } from '../shared/read-file.ts';
import { writePrivateFile } from '../shared/write-file.ts';

export interface Login {
  version: 1;
  gateway: Address;
  /** Pinned SSH host key, wire format, base64. */
  hostKey: string;
  /** Who the gateway says that this key is. */
  id: string;
  name: string;
  role: PersonRole;
  token: string;
  /** On the gateway's clock, ms. */
  tokenIssuedAt: number;
  tokenExpiresAt: number;
  /** On this machine's clock, ms: so the token's age is known without the gateway's time. */
  savedAt: number;
}

export class Logins {
  readonly #paths: PersonPaths;

  constructor(home: string) {
    this.#paths = personPaths(home);
  }

  /** @throws FleetError `config_invalid` when the file is damaged, `home_insecure`, `storage_failed`. */
  read(address: Address): Login | undefined {
    const file = this.#fileOf(address);
    const text = readPrivateFile(file);
    if (text === undefined) return undefined;
    const value = parseJson(text);
    if (!isLogin(value) || formatAddress(value.gateway) !== formatAddress(address)) {
      throw new FleetError('config_invalid', `${file} is damaged`, {
        hint: 'Move it away and log in again: fleet login HOST --code CODE.',
      });
    }
    return value;
  }

  save(login: Login): void {
    ensurePrivateFolder(this.#paths.folder);
    ensurePrivateFolder(this.#paths.logins);
    writePrivateFile(this.#fileOf(login.gateway), `${JSON.stringify(login, null, 2)}\n`);
  }

  /** Forgets a gateway; false when it was not known. */
  remove(address: Address): boolean {
    const known = this.read(address) !== undefined;
    rmSync(this.#fileOf(address), { force: true });
    if (this.default === formatAddress(address)) rmSync(this.#paths.defaultGateway, { force: true });
    return known;
  }

  /** `host:port`. */
  get default(): string | undefined {
    return readIfExists(this.#paths.defaultGateway)?.trim() || undefined;
  }

  setDefault(address: Address): void {
    writePrivateFile(this.#paths.defaultGateway, `${formatAddress(address)}\n`);
  }

  #fileOf({ host, port }: Address): string {
    return path.join(this.#paths.logins, `${encodeURIComponent(host.toLowerCase())}_${port}.json`);
  }
}

function isLogin(value: unknown): value is Login {
  if (typeof value !== 'object' || value === null) return false;
  const { version, gateway, role, ...rest } = value as Partial<Record<keyof Login, unknown>>;
  const { host, port } = (gateway ?? {}) as Partial<Address>;
  return (
    version === 1 &&
    typeof host === 'string' &&
    typeof port === 'number' &&
    PERSON_ROLES.includes(role as PersonRole) &&
    [rest.hostKey, rest.id, rest.name, rest.token].every((text) => typeof text === 'string') &&
    [rest.tokenIssuedAt, rest.tokenExpiresAt, rest.savedAt].every((at) => Number.isFinite(at))
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
