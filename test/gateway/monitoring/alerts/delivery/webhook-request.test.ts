import assert from 'node:assert/strict';
import { test } from 'node:test';
import { webhookHeaders } from '../../../../../src/gateway/monitoring/alerts/delivery/sign-webhook.ts';
import { webhookRequest } from '../../../../../src/gateway/monitoring/alerts/delivery/webhook-request.ts';
import { FIRING, RESOLVED } from './message-fixture.ts';

const URL = 'https://example.org/hook';
const NOW = 1_614_265_330_999;

test('signatures are those of Standard Webhooks: the test vector of its libraries', () => {
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
  const plain = webhookRequest({ name: 'x', kind: 'webhook', url: URL }, 'id', FIRING, NOW);
  assert.deepEqual(JSON.parse(plain.body), FIRING);
  assert.deepEqual(plain.headers, { 'webhook-id': 'id', 'webhook-timestamp': '1614265330' });
  const secret = 'a secret of some length';
  const signed = webhookRequest({ name: 'x', kind: 'webhook', url: URL, secret }, 'id', FIRING, NOW);
  assert.match(signed.headers['webhook-signature'] ?? '', /^v1,[A-Za-z0-9+/]{43}=$/);
  const other = webhookRequest({ name: 'x', kind: 'webhook', url: URL, secret }, 'id2', FIRING, NOW);
  assert.notEqual(signed.headers['webhook-signature'], other.headers['webhook-signature']);
});

test('Slack gets text in which nothing has a meaning that a machine gave it', () => {
  const { body } = webhookRequest({ name: 'x', kind: 'slack', url: URL }, 'id', FIRING, NOW);
  assert.deepEqual(JSON.parse(body), {
    text: '*CRITICAL disk on node-1*\ndisk /a &lt;b&gt; &amp; *c* @everyone 95%',
  });
});

test('Discord gets content that calls nobody, and is short enough', () => {
  const { body } = webhookRequest({ name: 'x', kind: 'discord', url: URL }, 'id', RESOLVED, NOW);
  const { content, allowed_mentions } = JSON.parse(body) as { content: string; allowed_mentions: object };
  assert.match(content, /^\*\*RESOLVED disk on node-1\*\*\nover after 12m; it was: disk \/a <b\\> & \\\*c\\\*/);
  assert.deepEqual(allowed_mentions, { parse: [] });
  const long = { ...FIRING, data: { ...FIRING.data, summary: 'ä'.repeat(10_000) } };
  const cut = webhookRequest({ name: 'x', kind: 'discord', url: URL }, 'id', long, NOW);
  assert.ok((JSON.parse(cut.body) as { content: string }).content.length <= 2_000);
});

test('ntfy gets JSON at its root, with topic, priority and token', () => {
  const receiver = { name: 'x', kind: 'ntfy' as const, url: 'https://ntfy.example:8443/my-topic', token: 'tk_1' };
  const { url, headers, body } = webhookRequest(receiver, 'id', FIRING, NOW);
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
