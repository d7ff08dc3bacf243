/** What a node remembers between starts: its gateway, its name there, its token. One private JSON file, replaced atomically. */
import { z } from 'zod';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { readPrivateFile } from '../../shared/private-file.ts';
import { writePrivateFile } from '../../shared/write-file.ts';

const nodeStateSchema = z.object({
  version: z.literal(1),
  gateway: z.object({ host: z.string(), port: z.number() }),
  /** Pinned SSH host key, wire format, base64. */
  hostKey: z.string(),
  /** Set once the gateway has let this key in. */
  pairing: z
    .object({
      id: z.string(),
      name: z.string(),
      token: z.string(),
      /** On the gateway's clock, ms. */
      tokenIssuedAt: z.number(),
      tokenExpiresAt: z.number(),
      /** Raw Ed25519 public keys, base64url. */
      signingKeys: z.array(z.string()),
    })
    .optional(),
  /** From the answer to the last hello; the next hello presents it. */
  epoch: z.string().optional(),
  /** The comparison code shown while the node waits for approval. */
  pendingCode: z.string().optional(),
});

export type NodeState = z.infer<typeof nodeStateSchema>;

export class NodeStateFile {
  readonly #file: string;
  #state: NodeState | undefined;
  /** Comparison codes that the gateway may have kept: of the latest requests whose answers were lost. */
  readonly unansweredCodes: string[] = [];

  /** Reads the file. @throws FleetError `config_invalid` when it is damaged, `home_insecure`, `storage_failed`. */
  constructor(file: string) {
    this.#file = file;
    const text = readPrivateFile(file);
    if (text === undefined) return;
    const parsed = nodeStateSchema.safeParse(parseJson(text));
    if (!parsed.success) {
      throw new FleetError('config_invalid', `${file} is damaged`, {
        hint: 'Move it away and pair again: fleet node up --gateway HOST --code CODE.',
      });
    }
    this.#state = parsed.data;
  }

  get current(): NodeState | undefined {
    return this.#state;
  }

  /** Merges `changes` into the state, if there is one. If the disk fails, they count in this process, and the next change writes them. */
  change(changes: Partial<NodeState>, logger: Logger): void {
    if (this.#state === undefined) return;
    this.#state = { ...this.#state, ...changes };
    try {
      this.save(this.#state);
    } catch (error) {
      logger.error({ err: error }, 'cannot store what the gateway sent; it would be lost in a restart');
    }
  }

  /** The same for the pairing, if there is one. */
  changePairing(changes: Partial<NonNullable<NodeState['pairing']>>, logger: Logger): void {
    const pairing = this.#state?.pairing;
    if (pairing !== undefined) this.change({ pairing: { ...pairing, ...changes } }, logger);
  }

  /** The next connect pairs again; the host key stays pinned. */
  forgetPairing(): void {
    if (this.#state === undefined) return;
    const { pairing: _pairing, pendingCode: _pendingCode, epoch: _epoch, ...rest } = this.#state;
    this.save(rest);
  }

  save(state: NodeState): void {
    writePrivateFile(this.#file, `${JSON.stringify(state, null, 2)}\n`);
    this.#state = state;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
