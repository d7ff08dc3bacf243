import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WaitingNote } from '../../../src/cli/job/conduct-job.ts';
import type { RunState } from '../../../src/domain/states.ts';
import type { JobEvent } from '../../../src/protocol/job-messages.ts';
import { dataEvent, endEvent, stateEvent } from '../../client/fake-gateway.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** What a person reads in ten seconds when the job has these runs and then these events. */
async function said(states: readonly RunState[], ...events: readonly JobEvent[]): Promise<string[]> {
  const clock = new FakeClock();
  const told: string[] = [];
  const note = new WaitingNote(clock, (text) => void told.push(text));
  const runs = states.map((state, index) => ({ run: `j.${index}`, index, node: `node-${index}`, state }));
  note.see({ type: 'job', job: 'j', runs });
  for (const event of events) note.see(event);
  await clock.advance(10_000);
  note.close();
  assert.equal(clock.pendingTimers, 0);
  return told;
}

test('a run that does not begin is told of once, by its node', async () => {
  const words = 'still waiting for node-0 to start; Ctrl-C cancels the job';
  assert.deepEqual(await said(['queued']), [words]);
  assert.deepEqual(await said(['queued'], stateEvent('delivered')), [words]);
});

test('of several runs only those count that have not begun', async () => {
  const [first, second] = [stateEvent('running', 0), dataEvent('stdout', 'x', 1, 1)];
  assert.deepEqual(await said(['queued', 'delivered', 'queued', 'running'], first, second), [
    'still waiting for 1 of 4 nodes to start; Ctrl-C cancels the job',
  ]);
});

test('what has begun or ended is not waited for', async () => {
  assert.deepEqual(await said(['running', 'exited']), []);
  assert.deepEqual(await said(['queued'], stateEvent('running')), []);
  assert.deepEqual(await said([]), []);
});

test('a command that is over while something holds its output is said to be, unless the run ends soon', async () => {
  const exited: JobEvent = {
    ...{ type: 'exited', run: 'j.0', index: 0, node: 'node-0', next: 9 },
    ...{ exitCode: 0, signal: null, holders: [{ pid: 4711, name: 'sleep' }] },
  };
  assert.deepEqual(await said(['running'], exited), ['node-0: exited with 0; sleep (4711) still holds its output']);
  assert.deepEqual(await said(['running'], { ...exited, exitCode: null, signal: 'SIGKILL', holders: [] }), [
    'node-0: was killed by SIGKILL; something still holds its output',
  ]);
  assert.deepEqual(await said(['running'], exited, endEvent()), []);
});
