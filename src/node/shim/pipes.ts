/** The named pipes of a run, opened so that neither side waits for the other (docs/adr/0003-fifos-for-stdio.md), and its prompt. */
import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';
import type { RunPipes } from './messages.ts';

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;
const PROMPT_SUFFIX = '.prompt';

interface Ends {
  readFd: number;
  writeFd: number;
}

/** Descriptors of both ends of each FIFO. */
export interface OpenPipes {
  stdout: Ends;
  stderr: Ends;
  /** Null without stdin. */
  stdin: Ends | null;
  /** A file in place of stdin, or null. */
  promptFd: number | null;
}

/** `prompt` is what the command finds on its stdin if no client sends stdin. @throws the system's error; nothing is open then. */
export function openPipes(pipes: RunPipes, pathOf: (name: string) => string, prompt?: string): OpenPipes {
  const opened: Ends[] = [];
  const remember = (ends: Ends): Ends => {
    opened.push(ends);
    return ends;
  };
  try {
    return {
      stdout: remember(openForOutput(pathOf(pipes.stdout))),
      stderr: remember(openForOutput(pathOf(pipes.stderr))),
      stdin: pipes.stdin === null ? null : remember(openForInput(pathOf(pipes.stdin))),
      // Last, because it is not in `opened`.
      promptFd: prompt === undefined ? null : openPrompt(pathOf, prompt),
    };
  } catch (error) {
    for (const ends of opened) closeEnds(ends);
    throw error;
  }
}

export function closePipes({ stdout, stderr, stdin, promptFd }: OpenPipes): void {
  for (const ends of [stdout, stderr, stdin]) if (ends !== null) closeEnds(ends);
  if (promptFd !== null) closeSync(promptFd);
}

/**
 * The read ends for a command started by a previous shim. Unread data is still in the pipes while the command holds them.
 * @throws the system's error; nothing is open then.
 */
export function reopenPipes(pipes: RunPipes, pathOf: (name: string) => string): { stdoutFd: number; stderrFd: number } {
  const { stdout, stderr } = openPipes({ ...pipes, stdin: null }, pathOf);
  closeSync(stdout.writeFd);
  closeSync(stderr.writeFd);
  return { stdoutFd: stdout.readFd, stderrFd: stderr.readFd };
}

/** Another write end of a stdin, non-blocking; undefined if nobody reads it. @throws the system's error. */
export function openForSending(path: string): number | undefined {
  try {
    return openSync(path, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (systemErrorCode(error) === 'ENXIO') return undefined;
    throw error;
  }
}

/**
 * A non-blocking end to read here, and a blocking one for the command. In this order: opening for writing waits for a reader, and a
 * reader without any writer gets no end of file from epoll.
 */
function openForOutput(path: string): Ends {
  const readFd = openSync(path, O_RDONLY | O_NONBLOCK);
  try {
    return { readFd, writeFd: openSync(path, O_WRONLY) };
  } catch (error) {
    closeSync(readFd);
    throw error;
  }
}

/** A blocking end to read for the command, and a non-blocking one to write here. */
function openForInput(path: string): Ends {
  const firstReader = openSync(path, O_RDONLY | O_NONBLOCK);
  try {
    const writeFd = openSync(path, O_WRONLY | O_NONBLOCK);
    try {
      return { readFd: openSync(path, O_RDONLY), writeFd };
    } catch (error) {
      closeSync(writeFd);
      throw error;
    }
  } finally {
    closeSync(firstReader);
  }
}

function closeEnds({ readFd, writeFd }: Ends): void {
  closeSync(readFd);
  closeSync(writeFd);
}

/**
 * Like the shell's `<`: an unlinked file, rather than a pipe, so that the program gets all of `text` even if this process is killed.
 * The caller closes the descriptor. @throws the system's error.
 */
function openPrompt(pathOf: (name: string) => string, text: string): number {
  const path = pathOf(`${randomUUID()}${PROMPT_SUFFIX}`);
  const writeFd = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(writeFd, text);
    return openSync(path, 'r');
  } finally {
    closeSync(writeFd);
    unlinkSync(path);
  }
}

/** Removes prompts left by a process that was killed before it unlinked them. */
export async function removePrompts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (name.endsWith(PROMPT_SUFFIX)) await unlink(join(folder, name));
}
