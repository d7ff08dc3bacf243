/** Queues a piece of work as the bus queues a run. */
import type { NodeQueue, Queued } from '../../../src/gateway/bus/node-queue.ts';

/** Resolves when `work`, which is called when its turn has come, has ended. */
export function queueRun(queue: NodeQueue, place: Partial<Queued>, work: () => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const entry: Queued = {
      ...place,
      onTurn: () =>
        void work()
          .finally(() => queue.remove(entry))
          .then(resolve, reject),
    };
    queue.add(entry);
  });
}
