import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type ActiveAlert,
  type AlertHappening,
  stepAlert,
} from '../../../../src/gateway/monitoring/alerts/step-alert.ts';

const TIMING = { forMs: 60_000, clearForMs: 30_000 };

test('holds for long enough: pending, then firing once; clear for long enough: resolved', () => {
  const seen: [number, AlertHappening[]][] = [];
  let alert: ActiveAlert | null = null;
  const holds = (now: number): boolean => now < 100_000 || (now >= 110_000 && now < 120_000);
  for (let now = 0; now <= 200_000; now += 10_000) {
    const { after, happened }: ReturnType<typeof stepAlert> = stepAlert(alert, holds(now), TIMING, now);
    alert = after;
    if (happened.length > 0) seen.push([now, happened]);
  }
  assert.deepEqual(seen, [
    [0, ['begun']],
    [60_000, ['fired']],
    [150_000, ['resolved']],
  ]);
});

test('a clock that was set back counts from then, and does not wait for its old time', () => {
  const pending: ActiveAlert = { state: 'pending', since: 1_000_000, clearSince: null };
  assert.equal(stepAlert(pending, true, TIMING, 0).after?.since, 0);
  const firing: ActiveAlert = { state: 'firing', since: 0, clearSince: 1_000_000 };
  assert.equal(stepAlert(firing, false, TIMING, 0).after?.clearSince, 0);
});

test('what nobody can know ends no alert, and makes none', () => {
  const firing: ActiveAlert = { state: 'firing', since: 0, clearSince: 5 };
  assert.deepEqual(stepAlert(firing, null, TIMING, 1e9), { after: { ...firing, clearSince: null }, happened: [] });
  const pending: ActiveAlert = { state: 'pending', since: 0, clearSince: null };
  assert.deepEqual(stepAlert(pending, null, TIMING, 1e9), { after: null, happened: ['dropped'] });
  assert.deepEqual(stepAlert(null, null, TIMING, 0), { after: null, happened: [] });
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
      const log: AlertHappening[] = [];
      for (const { holds, passedMs } of observations) {
        now += passedMs;
        heldSince = holds === true ? (heldSince ?? now) : null;
        clearSince = holds === false ? (clearSince ?? now) : null;
        const { after, happened }: ReturnType<typeof stepAlert> = stepAlert(alert, holds, given, now);
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
