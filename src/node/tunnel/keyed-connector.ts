/** Connects with the key that the gateway knows, and replaces it when a next one exists, in steps that survive a crash between any two. */
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

/** The gateway has refused, so it does not know the next key. After any other failure it may. */
const REFUSALS: readonly string[] = ['conflict', 'forbidden', 'bad_request', 'not_found'];

export class KeyedConnector {
  readonly #keys: NodeKeys;
  readonly #state: NodeStateFile;
  readonly #logger: Logger;
  #rotating: Promise<void> | undefined;

  constructor({ keys, state, logger }: { keys: NodeKeys; state: NodeStateFile; logger: Logger }) {
    this.#keys = keys;
    this.#state = state;
    this.#logger = logger;
  }

  /** {@link connectOnce}, followed by a key rotation that was requested or interrupted. */
  async connect(options: Omit<ConnectOptions, 'identity'>): Promise<OpenTunnel | Pending> {
    const opened = await this.#connectWithEither(options);
    if ('pendingCode' in opened || this.#keys.next === undefined) return opened;
    try {
      await this.rotate(opened);
    } catch (error) {
      const { code, message } = toFleetError(error);
      if (REFUSALS.includes(code)) {
        this.#logger.error({ code, reason: message }, 'the gateway refuses the new key; the old one stays');
        return opened;
      }
      opened.client.close();
      throw error;
    }
    opened.client.close();
    return await this.#connectWithEither(options);
  }

  /**
   * Replaces the current key, which this connection uses and which is worthless afterwards, by the next one.
   * @throws FleetError a refusal, after which there is no next key; or any other, after which the next connect continues.
   */
  async rotate(tunnel: OpenTunnel): Promise<void> {
    this.#rotating ??= this.#rotate(tunnel).finally(() => {
      this.#rotating = undefined;
    });
    await this.#rotating;
  }

  /** At once over a live tunnel, which then reconnects with the new key; otherwise on the next connect. @throws FleetError a refusal. */
  async rotateNow(current: UsableTunnel | undefined): Promise<RotateKeyView> {
    const fingerprint = formatFingerprint(sshPublicKeyBlob(this.#keys.prepare().publicKey));
    if (current === undefined) return { state: 'waiting', fingerprint };
    let state: RotateKeyView['state'] = 'rotated';
    try {
      await this.rotate(current);
    } catch (error) {
      const failure = toFleetError(error);
      if (!failure.retryable) throw failure;
      // The gateway may know either key; the next connect finds out.
      state = 'waiting';
    }
    current.stop();
    return { state, fingerprint };
  }

  async #rotate({ client, connection }: OpenTunnel): Promise<void> {
    const { current, next } = this.#keys;
    const nodeId = this.#state.current?.pairing?.id;
    if (nodeId === undefined || next === undefined) throw new FleetError('not_paired', 'this node is not paired');
    try {
      await rotateKey({ client, nodeId, hostKey: connection.hostKey, oldKey: current, newKey: next });
    } catch (error) {
      if (REFUSALS.includes(toFleetError(error).code)) this.#keys.discard();
      throw error;
    }
    this.#keys.promote();
    this.#logger.info({}, "this node's key was rotated");
  }

  /** If the current key is refused but the gateway knows the next one, only its answer was lost, or this process was killed before it came. */
  async #connectWithEither(options: Omit<ConnectOptions, 'identity'>): Promise<OpenTunnel | Pending> {
    try {
      return await connectOnce({ ...options, identity: this.#keys.current });
    } catch (refusal) {
      const { next } = this.#keys;
      if (next === undefined || toFleetError(refusal).code !== 'key_revoked') throw refusal;
      const opened = await connectOnce({ ...options, identity: next, pairAgain: false }).catch((error: unknown) => {
        throw toFleetError(error).code === 'not_paired' ? refusal : error;
      });
      this.#keys.promote();
      return opened;
    }
  }
}

/**
 * The node's key and its successor. Each step is one rename, so a crash at any point leaves one key that the gateway knows: the old one
 * until the gateway has accepted the new one.
 */
export class NodeKeys {
  readonly #options: { file: string; nextFile: string; comment: string };
  current: OwnIdentity;
  /** The gateway may know it already. */
  next: OwnIdentity | undefined;

  /** Reads the files, and creates a key if there is none. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
  constructor(options: { file: string; nextFile: string; comment: string }) {
    this.#options = options;
    const { file, nextFile, comment } = options;
    this.current = loadOrCreateIdentity(file, comment);
    this.next = readPrivateFile(nextFile) === undefined ? undefined : loadOrCreateIdentity(nextFile, comment);
  }

  /** Creates the next key, unless there is one, and stores it durably. */
  prepare(): OwnIdentity {
    this.next ??= loadOrCreateIdentity(this.#options.nextFile, this.#options.comment);
    return this.next;
  }

  /** The gateway knows only the next key: it becomes the current one. */
  promote(): void {
    if (this.next === undefined) return;
    const { file, nextFile } = this.#options;
    renameSync(nextFile, file);
    syncFolder(path.dirname(file));
    this.current = this.next;
    this.next = undefined;
  }

  /** The gateway has refused the next key, over a connection of the current one. */
  discard(): void {
    rmSync(this.#options.nextFile, { force: true });
    this.next = undefined;
  }
}

interface RotateKeyOptions {
  client: Pick<GatewayClient, 'rotateKey'>;
  nodeId: string;
  /** Proven by this connection, wire format. */
  hostKey: Buffer;
  oldKey: OwnIdentity;
  newKey: OwnIdentity;
}

/** Resolves when the gateway knows only the new key (docs/key-rotation.md). @throws FleetError a refusal; after any other it may know either. */
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
