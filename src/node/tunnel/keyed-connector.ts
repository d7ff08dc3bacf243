/** Connects with the key that the gateway knows, and changes it when a next one waits: the steps that a crash may come between. */

import { renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { RotateKeyView } from '../../protocol/node-control.ts';
import { encodeKeyRotation } from '../../protocol/node-messages.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { readPrivateFile } from '../../shared/private-file.ts';
import { loadOrCreateIdentity, type OwnIdentity } from '../../shared/ssh/identity.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import { syncFolder } from '../../shared/write-file.ts';
import { type ConnectOptions, connectOnce, type OpenTunnel, type Pending } from './connect-once.ts';
import type { GatewayClient } from './gateway-client.ts';
import type { NodeStateFile } from './node-state.ts';
import type { UsableTunnel } from './tunnel.ts';

/** The gateway has said no, so it does not know the next key. After any other failure it may. */
const REFUSALS: readonly string[] = ['conflict', 'forbidden', 'bad_request', 'not_found'];

interface KeyedConnectorOptions {
  keys: NodeKeys;
  state: NodeStateFile;
  logger: Logger;
}

export class KeyedConnector {
  readonly #options: KeyedConnectorOptions;
  #rotating: Promise<void> | undefined;

  constructor(options: KeyedConnectorOptions) {
    this.#options = options;
  }

  /** {@link connectOnce}, and before the first heartbeat a change of key that was asked for, or cut short. */
  async connect(options: Omit<ConnectOptions, 'identity'>): Promise<OpenTunnel | Pending> {
    const { keys, logger } = this.#options;
    const opened = await this.#connectWithEither(options);
    if ('pendingCode' in opened || keys.next === undefined) return opened;
    try {
      await this.rotate(opened);
    } catch (error) {
      const { code, message } = toFleetError(error);
      if (REFUSALS.includes(code)) {
        logger.error({ code, reason: message }, 'the gateway refuses the new key; the old one stays');
        return opened;
      }
      end(opened);
      throw error;
    }
    end(opened);
    return await this.#connectWithEither(options);
  }

  /**
   * Puts the next key in the place of the present one, which this connection is of, and which is worth nothing afterwards.
   * @throws FleetError as the gateway refuses it; the next key is gone then. After any other, the next connect goes on with it.
   */
  async rotate(tunnel: OpenTunnel): Promise<void> {
    this.#rotating ??= this.#rotate(tunnel).finally(() => {
      this.#rotating = undefined;
    });
    await this.#rotating;
  }

  /** At once over a live tunnel, which comes back with the new key; else with the next connect. @throws FleetError as the gateway refuses it. */
  async rotateNow(current: UsableTunnel | undefined): Promise<RotateKeyView> {
    const fingerprint = formatFingerprint(sshPublicKeyBlob(this.#options.keys.prepare().publicKey));
    if (current === undefined) return { state: 'waiting', fingerprint };
    try {
      await this.rotate(current);
    } catch (error) {
      const failure = toFleetError(error);
      if (!failure.retryable) throw failure;
      // The gateway may know either key; the next connect finds out which.
      current.stop();
      return { state: 'waiting', fingerprint };
    }
    current.stop();
    return { state: 'rotated', fingerprint };
  }

  async #rotate({ client, connection }: OpenTunnel): Promise<void> {
    const { keys, state, logger } = this.#options;
    const nodeId = state.current?.pairing?.id;
    if (nodeId === undefined || keys.next === undefined) throw new FleetError('not_paired', 'this node is not paired');
    try {
      await rotateKey({ client, nodeId, hostKey: connection.hostKey, oldKey: keys.current, newKey: keys.next });
    } catch (error) {
      if (REFUSALS.includes(toFleetError(error).code)) keys.discard();
      throw error;
    }
    keys.promote();
    logger.info({}, 'the key of this node is a new one');
  }

  /** A refused key whose successor the gateway knows: only the answer was lost, or this process was killed before it heard it. */
  async #connectWithEither(options: Omit<ConnectOptions, 'identity'>): Promise<OpenTunnel | Pending> {
    const { keys } = this.#options;
    try {
      return await connectOnce({ ...options, identity: keys.current });
    } catch (refusal) {
      if (keys.next === undefined || toFleetError(refusal).code !== 'key_revoked') throw refusal;
      const opened = await connectOnce({ ...options, identity: keys.next, pairAgain: false }).catch(
        (error: unknown) => {
          throw toFleetError(error).code === 'not_paired' ? refusal : error;
        },
      );
      keys.promote();
      return opened;
    }
  }
}

function end({ client, connection }: OpenTunnel): void {
  client.close();
  connection.close();
}

/**
 * The node's key, and the one that is to replace it. Each step is one rename, so whatever kills the node leaves one key that the
 * gateway knows: the old one until the gateway has taken the new one, and then the new one.
 */
interface NodeKeysOptions {
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

/** The node's part of a change of its key, over a connection of the old one. docs/key-rotation.md tells the why. */
interface RotateKeyOptions {
  client: Pick<GatewayClient, 'rotateKey'>;
  nodeId: string;
  /** The host key that this connection has proven, wire format. */
  hostKey: Buffer;
  oldKey: OwnIdentity;
  newKey: OwnIdentity;
}

/** Resolves when the gateway knows only the new key. @throws FleetError what the gateway refuses; after any other it may know either. */
export async function rotateKey({ client, nodeId, hostKey, oldKey, newKey }: RotateKeyOptions): Promise<void> {
  const statement = encodeKeyRotation({ hostKey, nodeId, oldKey: oldKey.publicKey, newKey: newKey.publicKey });
  await client.rotateKey({
    publicKey: base64Url(newKey.publicKey),
    oldSignature: base64Url(oldKey.sign(statement)),
    newSignature: base64Url(newKey.sign(statement)),
  });
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
