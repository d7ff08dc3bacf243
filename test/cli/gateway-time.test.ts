import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Answer, FakeGateway, json } from '../client/fake-gateway.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { TestWorld } from './test-world.ts';

const DAY_MS = 86_400_000;
let gateway: FakeGateway;
let world: TestWorld;
beforeEach(async () => {
  gateway = await new FakeGateway().listen();
  world = new TestWorld(gateway.home);
});
afterEach(() => gateway.close());

/** Answers as a gateway does whose time that is. */
const at =
  (now: number, answer: Answer): Answer =>
  (response, request) => {
    response.setHeader('fleet-time', String(now));
    return answer(response, request);
  };

for (const days of [2, -2, 400]) {
  test(`ages are told by the gateway's time, on a laptop whose clock is ${days} days off`, async () => {
    const clock = new FakeClock();
    const now = clock.now();
    clock.jumpWall(days * DAY_MS);
    Object.assign(world, { clock });
    const lastSeenAt = new Date(now - 5_000).toISOString();
    const silence = {
      id: 'a',
      kind: 'rule',
      what: 'r',
      until: new Date(now + 3_600_000).toISOString(),
      reason: null,
      by: 'b',
    };
    gateway.on('GET /v1/alerts/silences', at(now, json({ silences: [silence] })));
    assert.match((await world.run('alerts', 'silences')).stdout, / (1h|60m)/);
    const invite = {
      id: 'a',
      name: null,
      role: 'node',
      labels: {},
      ephemeral: false,
      usesLeft: 1,
      failures: 0,
      createdBy: 'local',
    };
    const times = { createdAt: lastSeenAt, expiresAt: new Date(now + 600_000).toISOString() };
    gateway.on('GET /v1/invites', at(now, json({ invites: [{ ...invite, ...times }] })));
    assert.match((await world.run('invites', 'list')).stdout, /5s ago/);
    assert.equal(gateway.seen[0]?.headers['fleet-time'], String(now + days * DAY_MS));
  });
}

test('a gateway that says nothing of its time, or nonsense, changes nothing', async () => {
  const clock = new FakeClock();
  Object.assign(world, { clock });
  for (const time of [Number.NaN, Number.POSITIVE_INFINITY, 1e300]) {
    const until = new Date(clock.now() + 3_600_000).toISOString();
    const silence = { id: 'a', kind: 'rule', what: 'r', until, reason: null, by: 'b' };
    gateway.on('GET /v1/alerts/silences', at(time, json({ silences: [silence] })));
    assert.match((await world.run('alerts', 'silences')).stdout, / (1h|60m)/);
  }
});
