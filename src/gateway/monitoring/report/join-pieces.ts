/** Puts a long document together with pauses in which everybody else has a turn. */
import { setImmediate } from 'node:timers/promises';

/** A piece is about one node: some 5 ms of work in one turn. */
const TURN_PIECES = 20;

export async function joinPieces(pieces: Iterable<string>): Promise<string> {
  const done: string[] = [];
  for (const piece of pieces) {
    done.push(piece);
    if (done.length % TURN_PIECES === 0) await setImmediate();
  }
  return done.join('');
}
