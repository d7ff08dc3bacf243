/**
 * The node's key, and the one that is to replace it. Each step is one rename, so whatever kills the node leaves one key that the
 * gateway knows: the old one until the gateway has taken the new one, and then the new one.
 */
import { renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { readPrivateFile } from '../../shared/private-file.ts';
import { loadOrCreateIdentity, type OwnIdentity } from '../../shared/ssh/identity.ts';
import { syncFolder } from '../../shared/write-file.ts';

export interface NodeKeysOptions {
  file: string;
  nextFile: string;
  /** Comment in the key files. */
  comment: string;
}

export class NodeKeys {
  readonly #options: NodeKeysOptions;
  #current: OwnIdentity;
  #next: OwnIdentity | undefined;

  /** Reads the files at once, and makes a key if there is none. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
  constructor(options: NodeKeysOptions) {
    this.#options = options;
    const { file, nextFile, comment } = options;
    this.#current = loadOrCreateIdentity(file, comment);
    this.#next = readPrivateFile(nextFile) === undefined ? undefined : loadOrCreateIdentity(nextFile, comment);
  }

  get current(): OwnIdentity {
    return this.#current;
  }

  /** Made, and perhaps known to the gateway already. */
  get next(): OwnIdentity | undefined {
    return this.#next;
  }

  /** Makes the next key, if there is none; it is on the disk when this returns. */
  prepare(): OwnIdentity {
    this.#next ??= loadOrCreateIdentity(this.#options.nextFile, this.#options.comment);
    return this.#next;
  }

  /** The gateway knows the next key and no other: it is the node's from now on. */
  promote(): void {
    if (this.#next === undefined) return;
    const { file, nextFile } = this.#options;
    renameSync(nextFile, file);
    syncFolder(path.dirname(file));
    this.#current = this.#next;
    this.#next = undefined;
  }

  /** The gateway has refused the next key, over a connection of the present one. */
  discard(): void {
    rmSync(this.#options.nextFile, { force: true });
    this.#next = undefined;
  }
}
