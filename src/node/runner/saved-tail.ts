/** Carries the tail of a run's output from one process of the node to the next, as frames in a file. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { FRAME_TYPE, FrameDecoder } from '../../protocol/frames.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import type { OutputTail } from './output-tail.ts';

/** Writes the file, and empties the tail; no file if there is nothing. @throws the system's error. */
export async function saveTail(path: string, tail: OutputTail): Promise<void> {
  let file: FileHandle | undefined;
  try {
    for await (const { frames } of tail.drain()) {
      file ??= await open(path, 'w', 0o600);
      await file.writeFile(frames);
    }
  } finally {
    await file?.close();
  }
}

/**
 * Fills the tail from the file, and removes that: what is lost from now on, with this process, shall not come back. Whether there was
 * anything. @throws the system's error, or RangeError when the file is damaged.
 */
export async function loadTail(path: string, tail: OutputTail): Promise<boolean> {
  const decoder = new FrameDecoder();
  try {
    for await (const chunk of createReadStream(path)) {
      for (const { type, payload } of decoder.push(chunk as Buffer)) {
        if (type === FRAME_TYPE.stdout || type === FRAME_TYPE.stderr) tail.push(type, payload);
      }
      await tail.flush();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
  await unlink(path);
  return true;
}
