import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AlertMessage } from '../../../../src/gateway/monitoring/alerts/message.ts';
import {
  type AlertReceiver,
  requestFor,
  type WebhookRequest,
  webhookHeaders,
} from '../../../../src/gateway/monitoring/alerts/receivers.ts';
import { FIRING, RESOLVED } from './message-fixture.ts';

const URL = 'https://example.org/hook';
const NOW = 1_614_265_330_999;

function request(receiver: AlertReceiver, message: AlertMessage, id = 'id'): WebhookRequest {
  return requestFor(receiver, message, id, NOW) as WebhookRequest;
}

test('signatures match the test vector of Standard Webhooks', () => {
  const headers = webhookHeaders(
    'msg_p5jXN8AQM9LWM0D4loKWxJek',
    1_614_265_330,
    '{"test": 2432232314}',
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  );
  assert.deepEqual(headers, {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

test('a webhook is the whole message; signed only with a secret', () => {
  const plain = request({ name: 'x', kind: 'webhook', url: URL }, FIRING);
  assert.deepEqual(JSON.parse(plain.body), FIRING);
  assert.deepEqual(plain.headers, { 'webhook-id': 'id', 'webhook-timestamp': '1614265330' });
  const secret = 'a secret of some length';
  const signed = request({ name: 'x', kind: 'webhook', url: URL, secret }, FIRING);
  assert.match(signed.headers['webhook-signature'] ?? '', /^v1,[A-Za-z0-9+/]{43}=$/);
  const other = request({ name: 'x', kind: 'webhook', url: URL, secret }, FIRING, 'id2');
  assert.notEqual(signed.headers['webhook-signature'], other.headers['webhook-signature']);
});

test('Slack gets text in which nothing from a node has a meaning', () => {
  const { body } = request({ name: 'x', kind: 'slack', url: URL }, FIRING);
  assert.deepEqual(JSON.parse(body), {
    text: '*CRITICAL disk on node-1*\ndisk /a &lt;b&gt; &amp; *c* @everyone 95%',
  });
});

test('Discord gets content that mentions nobody and is short enough', () => {
  const { body } = request({ name: 'x', kind: 'discord', url: URL }, RESOLVED);
  const { content, allowed_mentions } = JSON.parse(body) as { content: string; allowed_mentions: object };
  assert.match(content, /^\*\*RESOLVED disk on node-1\*\*\nresolved after 12m; it was: disk \/a <b\\> & \\\*c\\\*/);
  assert.deepEqual(allowed_mentions, { parse: [] });
  const long = { ...FIRING, data: { ...FIRING.data, summary: 'ä'.repeat(10_000) } };
  const cut = request({ name: 'x', kind: 'discord', url: URL }, long);
  assert.ok((JSON.parse(cut.body) as { content: string }).content.length <= 2_000);
});

test('ntfy gets JSON at its root, with topic, priority and token', () => {
  const receiver = { name: 'x', kind: 'ntfy' as const, url: 'https://ntfy.example:8443/my-topic', token: 'tk_1' };
  const { url, headers, body } = request(receiver, FIRING);
  assert.equal(url, 'https://ntfy.example:8443/');
  assert.deepEqual(headers, { authorization: 'Bearer tk_1' });
  assert.deepEqual(JSON.parse(body), {
    topic: 'my-topic',
    title: 'CRITICAL disk on node-1',
    message: 'disk /a <b> & *c* @everyone 95%',
    priority: 5,
    tags: ['warning'],
  });
});
