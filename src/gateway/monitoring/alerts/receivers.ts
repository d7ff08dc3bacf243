/** The kinds of alert receivers of `gateway.alerts.notify`: the options of each, and the request it gets. A new one is one entry here. */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { intervalUpTo } from '../../../shared/config.ts';
import { cutText, harmlessJson } from '../../../shared/text.ts';
import { type AlertMessage, detailOf, titleOf } from './message.ts';

/** A command that takes longer is killed, ms. */
const COMMAND_TIMEOUT_MS = 30_000;
const SECRET_PREFIX = 'whsec_';
/** Standard Webhooks asks for 24 to 64 bytes; a text of this many characters is the shortest that nobody guesses. */
const MIN_SECRET_LENGTH = 16;
/** Longest texts, UTF-16 units: Discord refuses more than 2,000, ntfy makes a file of more than 4,096 bytes. */
const MAX_TEXT = { discord: 1_900, ntfy: 1_000, slack: 3_000 } as const;

/** Names of rules and receivers. */
export const alertNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is 1 to 63 letters, digits, dots, dashes and underscores');
// No error may repeat a value: a chat's URL lets anyone write there.
const url = z
  .string()
  .refine(
    (text) => /^https?:\/\/\S+$/i.test(text) && URL.canParse(text),
    'must be an http or https URL without spaces',
  );
const topicUrl = url.refine((text) => ntfyTopic(text) !== null, 'must end in the topic: https://ntfy.sh/TOPIC');
const secret = z
  .string()
  .refine((text) => secretBytes(text).length >= MIN_SECRET_LENGTH, `must have ${MIN_SECRET_LENGTH} bytes or more`);
const token = z.string().regex(/^[\x21-\x7e]+$/, 'must be one word');
const argument = z.string().refine((text) => !text.includes('\0'), 'must not contain NUL');

export interface WebhookRequest {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Program and arguments, run without a shell. */
export interface CommandRequest {
  command: readonly string[];
  timeoutMs: number;
}

/** `id`: the idempotency id. `nowMs`: the time of sending. */
type MakeRequest<T> = (
  receiver: T,
  message: AlertMessage,
  id: string,
  nowMs: number,
) => WebhookRequest | CommandRequest;

const RECEIVERS = [
  receiver('webhook', { url, secret: secret.optional() }, (given, message, id, nowMs) => {
    const body = harmlessJson(message);
    return { url: given.url, headers: webhookHeaders(id, Math.floor(nowMs / 1000), body, given.secret), body };
  }),
  receiver('slack', { url }, (given, message) => {
    const text = cutText(`*${escapeSlack(titleOf(message))}*\n${escapeSlack(detailOf(message))}`, MAX_TEXT.slack);
    return { url: given.url, headers: {}, body: harmlessJson({ text }) };
  }),
  receiver('discord', { url }, (given, message) => {
    const [title, detail] = [titleOf(message), detailOf(message)].map((text) => text.replace(/[\\*_~`|>]/g, '\\$&'));
    const content = cutText(`**${title}**\n${detail}`, MAX_TEXT.discord);
    // Text from a node must not mention people.
    return { url: given.url, headers: {}, body: harmlessJson({ content, allowed_mentions: { parse: [] } }) };
  }),
  receiver('ntfy', { url: topicUrl, token: token.optional() }, (given, message) => {
    const { server = given.url, topic = '' } = ntfyTopic(given.url) ?? {};
    const body = harmlessJson({
      topic,
      title: titleOf(message),
      message: cutText(detailOf(message), MAX_TEXT.ntfy),
      priority: ntfyPriority(message),
      tags: [message.type === 'alert.resolved' ? 'white_check_mark' : 'warning'],
    });
    const headers: Record<string, string> = given.token === undefined ? {} : { authorization: `Bearer ${given.token}` };
    return { url: server, headers, body };
  }),
  receiver(
    'command',
    { command: z.array(argument).min(1), timeout: intervalUpTo('1h').default(COMMAND_TIMEOUT_MS) },
    ({ command, timeout }) => ({ command, timeoutMs: timeout }),
  ),
] as const;

type Receivers = (typeof RECEIVERS)[number];
export type AlertReceiver = Readonly<z.output<Receivers['schema']>>;

const [first, ...others] = RECEIVERS.map(({ schema }): Receivers['schema'] => schema);
export const alertReceiverSchema = z.discriminatedUnion('kind', [first as Receivers['schema'], ...others]);

/** The request that tells the receiver of this message. Pure. */
export const requestFor: MakeRequest<AlertReceiver> = (given, message, id, nowMs) => {
  const { request } = RECEIVERS.find(({ kind }) => kind === given.kind) as { request: MakeRequest<AlertReceiver> };
  return request(given, message, id, nowMs);
};

function receiver<K extends string, S extends z.ZodRawShape>(
  kind: K,
  shape: S,
  request: MakeRequest<z.output<z.ZodObject<S>>>,
) {
  return { kind, schema: z.strictObject({ name: alertNameSchema, kind: z.literal(kind), ...shape }), request };
}

/**
 * Headers of Standard Webhooks 1.0.0 (standardwebhooks.com), which has libraries for receivers. `timestampS`: the time of sending,
 * seconds since the epoch, so that a receiver can reject a replay.
 */
export function webhookHeaders(
  id: string,
  timestampS: number,
  body: string,
  signingSecret: string | undefined,
): Record<string, string> {
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(timestampS) };
  if (signingSecret === undefined) return headers;
  const hmac = createHmac('sha256', secretBytes(signingSecret)).update(`${id}.${timestampS}.${body}`);
  return { ...headers, 'webhook-signature': `v1,${hmac.digest('base64')}` };
}

/** The key of a secret: base64 after `whsec_` as in Standard Webhooks, otherwise the text itself. */
function secretBytes(text: string): Buffer {
  return text.startsWith(SECRET_PREFIX)
    ? Buffer.from(text.slice(SECRET_PREFIX.length), 'base64')
    : Buffer.from(text, 'utf8');
}

/** Server and topic of a topic's URL. */
function ntfyTopic(text: string): { server: string; topic: string } | null {
  if (!URL.canParse(text)) return null;
  const { origin, pathname } = new URL(text);
  const topic = /^\/([A-Za-z0-9_-]{1,64})\/?$/.exec(pathname)?.[1];
  return topic === undefined ? null : { server: `${origin}/`, topic };
}

/** docs.ntfy.sh/publish: 3 is the default, 5 makes noise. */
function ntfyPriority({ type, data }: AlertMessage): number {
  if (type !== 'alert.firing') return 3;
  return data.severity === 'critical' ? 5 : 4;
}

/** api.slack.com: only these three have a meaning. */
function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
