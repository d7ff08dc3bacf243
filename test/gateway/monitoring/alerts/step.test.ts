import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ActiveAlert, nextAlert } from '../../../../src/gateway/monitoring/alerts/step.ts';

type Happening = 'begun' | 'fired' | 'resolved' | 'dropped';

/** One evaluation, and what it changed. */
function step(
  before: ActiveAlert | null,
  holds: boolean | null,
  timing: { forMs: number; clearForMs: number },
  now: number,
) {
  const after = nextAlert(before, holds, timing, now);
  const happened: Happening[] = [];
  if (before === null && after !== null) happened.push('begun');
  if (before?.state !== 'firing' && after?.state === 'firing') happened.push('fired');
  if (before !== null && after === null) happened.push(before.state === 'firing' ? 'resolved' : 'dropped');
  return { after, happened };
}

const TIMING = { forMs: 60_000, clearForMs: 30_000 };

test('pending, firing once the condition has held long enough, resolved once it has been clear long enough', () => {
  const seen: [number, Happening[]][] = [];
  let alert: ActiveAlert | null = null;
  const holds = (now: number): boolean => now < 100_000 || (now >= 110_000 && now < 120_000);
  for (let now = 0; now <= 200_000; now += 10_000) {
    const { after, happened }: ReturnType<typeof step> = step(alert, holds(now), TIMING, now);
    alert = after;
    if (happened.length > 0) seen.push([now, happened]);
  }
  assert.deepEqual(seen, [
    [0, ['begun']],
    [60_000, ['fired']],
    [150_000, ['resolved']],
  ]);
});

test('after a clock was set back, time counts from then', () => {
  const pending: ActiveAlert = { state: 'pending', since: 1_000_000, clearSince: null };
  assert.equal(step(pending, true, TIMING, 0).after?.since, 0);
  const firing: ActiveAlert = { state: 'firing', since: 0, clearSince: 1_000_000 };
  assert.equal(step(firing, false, TIMING, 0).after?.clearSince, 0);
});

test('an unknown condition neither ends nor starts an alert', () => {
  const firing: ActiveAlert = { state: 'firing', since: 0, clearSince: 5 };
  assert.deepEqual(step(firing, null, TIMING, 1e9), { after: { ...firing, clearSince: null }, happened: [] });
  const pending: ActiveAlert = { state: 'pending', since: 0, clearSince: null };
  assert.deepEqual(step(pending, null, TIMING, 1e9), { after: null, happened: ['dropped'] });
  assert.deepEqual(step(null, null, TIMING, 0), { after: null, happened: [] });
});

const observation = fc.record({
  holds: fc.constantFrom(true, false, null),
  passedMs: fc.integer({ min: 0, max: 50_000 }),
});
const timing = fc.record({
  forMs: fc.integer({ min: 0, max: 120_000 }),
  clearForMs: fc.integer({ min: 0, max: 120_000 }),
});

test('whatever happens: begun, fired and resolved alternate, nothing fires before its time, nothing that fires is lost', () => {
  fc.assert(
    fc.property(timing, fc.array(observation, { maxLength: 200 }), (given, observations) => {
      let alert: ActiveAlert | null = null;
      let now = 1_700_000_000_000;
      let heldSince: number | null = null;
      let clearSince: number | null = null;
      const log: Happening[] = [];
      for (const { holds, passedMs } of observations) {
        now += passedMs;
        heldSince = holds === true ? (heldSince ?? now) : null;
        clearSince = holds === false ? (clearSince ?? now) : null;
        const { after, happened }: ReturnType<typeof step> = step(alert, holds, given, now);
        if (happened.includes('fired')) {
          assert.ok(heldSince !== null && now - heldSince >= given.forMs, 'fired before its time');
        }
        if (happened.includes('resolved')) {
          assert.ok(clearSince !== null && now - clearSince >= given.clearForMs, 'resolved before its time');
        }
        log.push(...happened);
        alert = after;
        const open =
          log.filter((one) => one === 'begun').length -
          log.filter((one) => one === 'dropped' || one === 'resolved').length;
        assert.equal(open, alert === null ? 0 : 1);
        const firing = log.filter((one) => one === 'fired').length - log.filter((one) => one === 'resolved').length;
        assert.equal(firing, alert?.state === 'firing' ? 1 : 0, 'every alert that fired is over or still fires');
      }
      assert.match(log.map((one) => `${one} `).join(''), /^(begun (dropped |fired resolved ))*(begun (fired )?)?$/);
    }),
  );
});
