import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AlertCondition } from '../../../../src/gateway/monitoring/alerts/alert-rule.ts';
import { judgeCondition } from '../../../../src/gateway/monitoring/alerts/judge-condition.ts';
import { type NodeFacts, nodeFacts } from '../../../../src/gateway/monitoring/alerts/node-facts.ts';
import type { NodeHealth } from '../../../../src/gateway/monitoring/judge/monitor.ts';
import { disk, HEALTHY } from '../judge/healthy-heartbeat.ts';
import { healthy, OFFLINE } from './fixtures.ts';

const NOW = Date.UTC(2026, 0, 1);
const QUIET = { diskFull: null, hasClone: false, hasTokenProblem: false };

function facts(change: Partial<NodeHealth> = {}, signals: Partial<NodeFacts> = {}): NodeFacts {
  return { ...nodeFacts(healthy(NOW, change), QUIET), ...signals };
}

function beat(change: Partial<typeof HEALTHY>, skewMs = 0): Partial<NodeHealth> {
  return { latest: { at: NOW, skewMs, beat: { ...HEALTHY, ...change } } };
}

test('what holds, what does not, and what nobody can know', () => {
  const disks: AlertCondition = { kind: 'metric', metric: 'diskUsedPct', direction: 'above', limit: 90 };
  const battery: AlertCondition = { kind: 'metric', metric: 'batteryPct', direction: 'below', limit: 20 };
  const skew: AlertCondition = { kind: 'skew', limitMs: 60_000 };
  const cases: [AlertCondition, NodeFacts, boolean | null, RegExp][] = [
    [{ kind: 'status', status: 'offline' }, facts(OFFLINE), true, /^offline: no session$/],
    [{ kind: 'status', status: 'offline' }, facts(), false, /offline/],
    [{ kind: 'status', status: 'limited' }, facts(OFFLINE), false, /limited/],
    [disks, facts(beat({ disks: [disk('/', 10), disk('/data', 90)] })), true, /^fullest disk 90% \(limit 90%\)$/],
    [disks, facts(beat({ disks: [disk('/', 89.9)] })), false, /89\.9%/],
    [disks, facts(beat({ disks: null })), null, /unknown/],
    [disks, facts({ ...beat({ disks: [disk('/', 99)] }), ...OFFLINE }), null, /unknown/],
    [battery, facts(beat({ battery: { percent: 5, charging: false } })), true, /^battery 5%/],
    [battery, facts(beat({ battery: { percent: 5, charging: true } })), false, /battery/],
    [battery, facts(beat({ battery: null })), null, /unknown/],
    [skew, facts(beat({}, -60_000)), true, /^clock 1m behind \(limit 1m\)$/],
    [skew, facts(beat({}, 59_999)), false, /ahead/],
    [skew, facts(OFFLINE), null, /unknown/],
    [
      { kind: 'diskFull', withinMs: 3_600_000 },
      facts({}, { diskFull: { mount: '/a', fullAt: NOW + 1_800_000 } }),
      true,
      /^disk \/a will be full in 30m/,
    ],
    [
      { kind: 'diskFull', withinMs: 3_600_000 },
      facts({}, { diskFull: { mount: '/a', fullAt: NOW + 3_600_001 } }),
      false,
      /full/,
    ],
    [{ kind: 'diskFull', withinMs: 3_600_000 }, facts(), false, /no disk/],
    [{ kind: 'flapping', reconnectsPerHour: 6 }, facts({}, { reconnectsPerHour: 6 }), true, /^6 reconnects/],
    [{ kind: 'flapping', reconnectsPerHour: 6 }, facts({}, { reconnectsPerHour: 5 }), false, /5 reconnects/],
    [{ kind: 'clone' }, facts({}, { hasClone: true }), true, /key/],
    [{ kind: 'clone' }, facts(), false, /key/],
    [{ kind: 'tokenProblem' }, facts({}, { hasTokenProblem: true }), true, /token/],
    [{ kind: 'tokenProblem' }, facts(), false, /token/],
  ];
  for (const [when, given, holds, summary] of cases) {
    const judged = judgeCondition(when, given, NOW);
    assert.equal(judged.holds, holds, JSON.stringify(when));
    assert.match(judged.summary, summary);
  }
});
