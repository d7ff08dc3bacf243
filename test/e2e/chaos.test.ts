/** Nothing is lost and nothing runs twice, whatever is killed and cut: the short form of scripts/chaos. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runChaosRound } from '../support/chaos/chaos-round.ts';

const JOBS = 30;
const SETTLE_MS = 40_000;

describe('chaos', () => {
  it('brings every job to its one end while gateway, nodes and CLIs are killed and connections cut', async (context) => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    // Again with the same jobs and faults: scripts/chaos 1 --jobs 30 --seed SEED
    context.diagnostic(`seed ${seed}`);
    const { faults, ...counts } = await runChaosRound({ seed, jobs: JOBS, nodeKills: true, settleMs: SETTLE_MS });
    context.diagnostic(JSON.stringify(counts));
    assert.deepEqual(faults, [], `with seed ${seed}`);
    assert.ok(counts.cuts + counts.stalls + counts.gatewayKills + counts.nodeKills > 0, 'nothing was broken');
    assert.ok((counts.states.exited ?? 0) > 0, 'no job came to its end');
  });
});
