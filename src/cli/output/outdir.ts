/** `--outdir DIR`: the exact bytes of each node in DIR/NODE.out and DIR/NODE.err. */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { decodeData } from '../../protocol/text-data.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { JobOutput } from './job-output.ts';
import type { StreamName } from './output-port.ts';

const EXTENSION: Readonly<Record<StreamName, string>> = { stdout: '.out', stderr: '.err' };

/**
 * Files are opened for each write: a broadcast can go to more nodes than a process can have open files.
 * Every method throws FleetError `storage_failed` if writing fails.
 */
export class FolderOutput implements JobOutput {
  readonly #path: string;
  readonly #started = new Set<string>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Creates the folder, so that an invalid one is noticed before any command runs. */
  open(): void {
    attempt(this.#path, () => mkdirSync(this.#path, { recursive: true }));
  }

  handle(event: JobEvent): void {
    if (event.type !== 'stdout' && event.type !== 'stderr' && event.type !== 'end') return;
    // Also at the end: a node that wrote nothing has an empty .out.
    this.#begin(event.node);
    if (event.type === 'end') return;
    const path = this.#pathOf(event.node, event.type);
    attempt(path, () => appendFileSync(path, decodeData(event)));
  }

  /** Replaces the files of an earlier broadcast. */
  #begin(node: string): void {
    if (this.#started.has(node)) return;
    const path = this.#pathOf(node, 'stdout');
    attempt(path, () => {
      writeFileSync(path, '');
      rmSync(this.#pathOf(node, 'stderr'), { force: true });
    });
    this.#started.add(node);
  }

  #pathOf(node: string, stream: StreamName): string {
    return join(this.#path, safeFileName(node) + EXTENSION[stream]);
  }
}

/** The node's name, with %XX for every unusual byte: it cannot leave the folder or collide with another name. */
export function safeFileName(node: string): string {
  const name = [...Buffer.from(node)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9._-]/.test(character) ? character : escapeByte(byte);
    })
    .join('');
  // No hidden files, no `..`, nothing that looks like an option, no empty name.
  return name === '' ? '%' : name.replace(/^[.-]/, (first) => escapeByte(first.charCodeAt(0)));
}

function escapeByte(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}

function attempt(path: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    throw new FleetError('storage_failed', `cannot write ${path}: ${systemErrorCode(error) ?? String(error)}`, {
      cause: error,
      hint: 'Free some space, or choose another folder with --outdir.',
      facts: { path },
    });
  }
}
