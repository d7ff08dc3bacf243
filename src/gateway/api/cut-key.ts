/** Ends every connection of a key at once, and the one over which that was asked as soon as its answer is out. */
import type { FastifyReply } from 'fastify';
import type { Clock } from '../../shared/clock.ts';
import type { KeyConnections } from '../../shared/ssh/server/peers.ts';
import type { Caller } from './caller.ts';

/** Longest wait for somebody to take the answer that tells of the own end, ms. */
const ANSWER_GRACE_MS = 2_000;

export interface CutKeyOptions {
  connections: Pick<KeyConnections, 'cut'>;
  clock: Clock;
}

export function cutKey(
  publicKey: Buffer,
  reason: string,
  { caller, reply }: { caller: Caller; reply: FastifyReply },
  { connections, clock }: CutKeyOptions,
): void {
  const asker = caller.peer?.publicKey.equals(publicKey) ? caller.peer : undefined;
  connections.cut(publicKey, reason, asker);
  if (asker === undefined) return;
  const timer = clock.after(ANSWER_GRACE_MS, () => asker.cut(reason), { unref: true });
  reply.raw.once('close', () => {
    timer.cancel();
    asker.cut(reason);
  });
}
