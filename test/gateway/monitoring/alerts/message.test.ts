import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AlertNotice,
  combineNotices,
  detailOf,
  MOST_LISTED,
  titleOf,
} from '../../../../src/gateway/monitoring/alerts/message.ts';
import { requestFor, type WebhookRequest } from '../../../../src/gateway/monitoring/alerts/receivers.ts';
import { FIRING, noticeOf, RESOLVED } from './message-fixture.ts';

const many = (count: number, make = noticeOf): [AlertNotice, ...AlertNotice[]] => [
  make('n0'),
  ...Array.from({ length: count - 1 }, (_, index) => make(`n${index + 1}`)),
];

test('one alert: its fields, and a list of one', () => {
  assert.deepEqual([FIRING.data.count, FIRING.data.alerts.length, FIRING.data.alerts[0]?.node], [1, 1, 'node-1']);
  assert.equal(titleOf(FIRING), 'CRITICAL disk on node-1');
  assert.equal(detailOf(RESOLVED), 'resolved after 12m; it was: disk /a <b> & *c* @everyone 95%');
});

test('several alerts: their number in the title, folded names in the text', () => {
  const message = combineNotices(
    many(50, (node) => noticeOf(node, { summary: 'offline: no session' })),
    50,
  );
  assert.equal(titleOf(message), 'CRITICAL disk on 50 nodes');
  assert.equal(detailOf(message), 'n[0-49]: offline: no session');
  assert.deepEqual([message.data.node, message.data.alert], ['n0', 'alert-n0']);
});

test('one line per group of nodes with the same state, ten at most, and how many more', () => {
  const some = combineNotices(
    many(50, (node) => noticeOf(node, { summary: `disk at ${node.slice(-1)}%` })),
    50,
  );
  assert.equal(detailOf(some).split('\n').length, 10);
  assert.equal(detailOf(some).split('\n')[0], 'n[0,10,20,30,40]: disk at 0%');
  const all = combineNotices(
    many(50, (node) => noticeOf(node, { summary: `disk ${node}` })),
    50,
  );
  assert.match(detailOf(all), /^n9: disk n9\nand 40 more: see fleet alerts$/m);
  const listed = combineNotices(many(MOST_LISTED), 5_000);
  assert.match(detailOf(listed), /^n\[0-99\]: .*\nand 4900 more: see fleet alerts$/);
});

test('resolutions that came one after the other are one line', () => {
  const ends = many(20, (node) => {
    const resolvedAt = new Date(Date.UTC(2026, 0, 1, 0, 12, Number(node.slice(1)))).toISOString();
    return { ...noticeOf(node, { resolvedAt, summary: 'offline: no session' }), type: 'alert.resolved' };
  });
  const message = combineNotices(ends, 20);
  assert.equal(titleOf(message), 'RESOLVED disk on 20 nodes');
  assert.equal(detailOf(message), 'n[0-19]: resolved after 12m to 12m 19s; it was: offline: no session');
  const removed = ends.map((notice) => ({
    ...notice,
    data: { ...notice.data, reason: 'the rule was removed' },
  }));
  const [first, ...rest] = removed;
  assert.ok(first);
  assert.match(
    detailOf(combineNotices([first, ...rest], 20)),
    /resolved after 12m to 12m 19s because the rule was removed;/,
  );
});

test('names that cannot be folded are cut, the facts are not', () => {
  const names = ['kerberos', 'apollo', 'minerva', 'juno', 'vulcan'].map((name) => name.repeat(7));
  const [first = '', ...rest] = names.flatMap((name) => ['x', 'y', 'z'].map((end) => `${name}${end}`));
  const summary = 'offline: no session';
  const message = combineNotices(
    [noticeOf(first, { summary }), ...rest.map((name) => noticeOf(name, { summary }))],
    15,
  );
  assert.match(detailOf(message), /…: offline: no session$/);
  assert.ok(detailOf(message).length < 350);
});

test('one critical alert makes the message critical', () => {
  const message = combineNotices([noticeOf('a', { severity: 'warning' }), noticeOf('b')], 2);
  assert.equal(message.data.severity, 'critical');
});

test('each kind of receiver gets number and names', () => {
  const message = combineNotices(
    many(50, (node) => noticeOf(node, { summary: 'no session' })),
    50,
  );
  const url = 'https://example.org/topic';
  const bodyOf = (kind: 'webhook' | 'slack' | 'discord' | 'ntfy') =>
    JSON.parse((requestFor({ name: 'x', kind, url }, message, 'id', 0) as WebhookRequest).body) as Record<
      string,
      unknown
    >;
  assert.deepEqual(bodyOf('webhook'), message);
  assert.equal(bodyOf('slack').text, '*CRITICAL disk on 50 nodes*\nn[0-49]: no session');
  assert.equal(bodyOf('discord').content, '**CRITICAL disk on 50 nodes**\nn[0-49]: no session');
  assert.deepEqual(
    [bodyOf('ntfy').title, bodyOf('ntfy').message],
    ['CRITICAL disk on 50 nodes', 'n[0-49]: no session'],
  );
});
