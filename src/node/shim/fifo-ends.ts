/** Opens named pipes so that neither side waits for the other. Why they are named pipes: docs/adr/0003-fifos-for-stdio.md. */
import { closeSync, constants, openSync } from 'node:fs';
import { systemErrorCode } from '../../shared/errors.ts';

/**
 * Both ends of a FIFO for output: a non-blocking one to read here, a blocking one for the command.
 * The order matters: a writer's open waits for a reader, and a reader without any writer sees no end of file from epoll.
 */
export function openForOutput(path: string): { readFd: number; writeFd: number } {
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return { readFd, writeFd: openSync(path, constants.O_WRONLY) };
  } catch (error) {
    closeSync(readFd);
    throw error;
  }
}

/** Both ends of a FIFO for stdin: a blocking one to read for the command, a non-blocking one to write here. */
export function openForInput(path: string): { readFd: number; writeFd: number } {
  const firstReader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const writeFd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      return { readFd: openSync(path, constants.O_RDONLY), writeFd };
    } catch (error) {
      closeSync(writeFd);
      throw error;
    }
  } finally {
    closeSync(firstReader);
  }
}

/** A further writing end, non-blocking; undefined if nobody reads there (any more). @throws the system's error. */
export function openForSending(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (systemErrorCode(error) === 'ENXIO') return undefined;
    throw error;
  }
}
