/** Makes the HTTP request of each kind of receiver out of a message; pure. */
import { harmlessJson } from '../../../../shared/text.ts';
import { type AlertReceiver, ntfyTopic } from '../alert-receiver.ts';
import { type AlertMessage, detailOf, titleOf } from './alert-message.ts';
import { webhookHeaders } from './sign-webhook.ts';

export interface WebhookRequest {
  url: string;
  headers: Record<string, string>;
  body: string;
}

type HttpReceiver = Exclude<AlertReceiver, { kind: 'command' }>;

/** Longest text, UTF-16 units: Discord refuses more than 2,000, ntfy makes a file of more than 4,096 bytes. */
const MAX_TEXT = { discord: 1_900, ntfy: 1_000, slack: 3_000 } as const;

/** `id` is the idempotency id, `nowMs` the time of sending. */
export function webhookRequest(
  receiver: HttpReceiver,
  id: string,
  message: AlertMessage,
  nowMs: number,
): WebhookRequest {
  const title = titleOf(message);
  const detail = detailOf(message);
  switch (receiver.kind) {
    case 'webhook': {
      const body = harmlessJson(message);
      const headers = webhookHeaders(id, Math.floor(nowMs / 1000), body, receiver.secret);
      return { url: receiver.url, headers, body };
    }
    case 'slack': {
      const text = cut(`*${escapeSlack(title)}*\n${escapeSlack(detail)}`, MAX_TEXT.slack);
      return { url: receiver.url, headers: {}, body: harmlessJson({ text }) };
    }
    case 'discord': {
      const content = cut(`**${escapeDiscord(title)}**\n${escapeDiscord(detail)}`, MAX_TEXT.discord);
      // What a machine writes must not call people by itself.
      const body = harmlessJson({ content, allowed_mentions: { parse: [] } });
      return { url: receiver.url, headers: {}, body };
    }
    case 'ntfy': {
      const { server = receiver.url, topic = '' } = ntfyTopic(receiver.url) ?? {};
      const body = harmlessJson({
        topic,
        title,
        message: cut(detail, MAX_TEXT.ntfy),
        priority: priorityOf(message),
        tags: [message.type === 'alert.resolved' ? 'white_check_mark' : 'warning'],
      });
      const headers: Record<string, string> =
        receiver.token === undefined ? {} : { authorization: `Bearer ${receiver.token}` };
      return { url: server, headers, body };
    }
  }
}

/** docs.ntfy.sh/publish: 3 is the default, 5 makes noise. */
function priorityOf({ type, data }: AlertMessage): number {
  if (type !== 'alert.firing') return 3;
  return data.severity === 'critical' ? 5 : 4;
}

/** api.slack.com: only these three stand for something else. */
function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function escapeDiscord(text: string): string {
  return text.replace(/[\\*_~`|>]/g, '\\$&');
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
