import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AlertCondition, NodeFacts } from '../../../../src/gateway/monitoring/alerts/conditions.ts';
import { judgeCondition } from '../../../../src/gateway/monitoring/alerts/conditions.ts';
import { NodeSignals, type NodeSignalsOptions } from '../../../../src/gateway/monitoring/alerts/node-signals.ts';
import type { NodeHealth } from '../../../../src/gateway/monitoring/judge/monitor.ts';
import { disk, HEALTHY } from '../judge/healthy-heartbeat.ts';
import { healthy, OFFLINE } from './fixtures.ts';

const NOW = Date.UTC(2026, 0, 1);
const LINK = healthy(NOW).link;

function facts(change: Partial<NodeHealth> = {}, signals: Partial<NodeFacts> = {}): NodeFacts {
  const epochs = { suspicionOf: () => undefined };
  const monitor = { healthOf: () => healthy(NOW, change) };
  const store = { history: { disks: { forecastsOf: () => new Map() } } } as unknown as NodeSignalsOptions['store'];
  return { ...new NodeSignals({ store, monitor, epochs }).factsOf('n', monitor.healthOf(), NOW), ...signals };
}

function beat(change: Partial<typeof HEALTHY>, skewMs = 0): Partial<NodeHealth> {
  return { latest: { at: NOW, skewMs, beat: { ...HEALTHY, ...change } } };
}

test('each condition: holds, does not hold, unknown', () => {
  const disks: AlertCondition = { metric: 'diskUsedPct', above: 90 };
  const battery: AlertCondition = { metric: 'batteryPct', below: 20 };
  const skew: AlertCondition = { skew: 60_000 };
  const cases: [AlertCondition, NodeFacts, boolean | null, RegExp][] = [
    [{ status: 'offline' }, facts(OFFLINE), true, /^offline: no session$/],
    [{ status: 'offline' }, facts(), false, /offline/],
    [{ status: 'limited' }, facts(OFFLINE), false, /limited/],
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
      { diskFullWithin: 3_600_000 },
      facts({}, { diskFull: { mount: '/a', fullAt: NOW + 1_800_000 } }),
      true,
      /^disk \/a will be full in 30m/,
    ],
    [{ diskFullWithin: 3_600_000 }, facts({}, { diskFull: { mount: '/a', fullAt: NOW + 3_600_001 } }), false, /full/],
    [{ diskFullWithin: 3_600_000 }, facts(), false, /no disk/],
    [{ flapping: 6 }, facts({ link: { ...LINK, reconnectsPerHour: 6 } }), true, /^6 reconnects/],
    [{ flapping: 6 }, facts({ link: { ...LINK, reconnectsPerHour: 5 } }), false, /5 reconnects/],
    [{ clone: true }, facts({}, { hasClone: true }), true, /key/],
    [{ clone: true }, facts(), false, /key/],
    [{ tokenProblem: true }, facts({}, { hasTokenProblem: true }), true, /token/],
    [{ tokenProblem: true }, facts(), false, /token/],
  ];
  for (const [when, given, holds, summary] of cases) {
    const judged = judgeCondition(when, given, NOW);
    assert.equal(judged.holds, holds, JSON.stringify(when));
    assert.match(judged.summary, summary);
  }
});
