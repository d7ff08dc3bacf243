/** One receiver of `gateway.alerts.notify`: whom an alert is told, and how. URLs and secrets are never printed. */
import { z } from 'zod';
import { intervalUpTo } from '../../../shared/config.ts';
import { alertNameSchema } from './alert-rule.ts';

/** A command that takes longer is killed, ms. */
const COMMAND_TIMEOUT_MS = 30_000;
const SECRET_PREFIX = 'whsec_';
/** Standard Webhooks asks for 24 to 64 bytes; a text of so many characters is the least that nobody guesses. */
const LEAST_SECRET_LENGTH = 16;

// No message may repeat the value: whoever has the URL of a chat can write there.
const url = z.string().refine(isHttpUrl, 'must be an http or https URL without spaces');
const secret = z
  .string()
  .refine((text) => secretBytes(text).length >= LEAST_SECRET_LENGTH, `must have ${LEAST_SECRET_LENGTH} bytes or more`);

export const alertReceiverSchema = z.discriminatedUnion('kind', [
  z.strictObject({ name: alertNameSchema, kind: z.literal('webhook'), url, secret: secret.optional() }),
  z.strictObject({ name: alertNameSchema, kind: z.literal('slack'), url }),
  z.strictObject({ name: alertNameSchema, kind: z.literal('discord'), url }),
  z.strictObject({
    name: alertNameSchema,
    kind: z.literal('ntfy'),
    url: url.refine((text) => ntfyTopic(text) !== null, 'must end in the topic: https://ntfy.sh/TOPIC'),
    token: z
      .string()
      .regex(/^[\x21-\x7e]+$/, 'must be one word')
      .optional(),
  }),
  z.strictObject({
    name: alertNameSchema,
    kind: z.literal('command'),
    /** Program and arguments, given to no shell. */
    command: z.array(z.string().refine((text) => !text.includes('\0'), 'must not contain NUL')).min(1),
    timeout: intervalUpTo('1h').default(COMMAND_TIMEOUT_MS),
  }),
]);
export type AlertReceiver = Readonly<z.output<typeof alertReceiverSchema>>;

/** The key that a secret stands for: base64 behind `whsec_` as Standard Webhooks has it, else the text itself. */
export function secretBytes(text: string): Buffer {
  return text.startsWith(SECRET_PREFIX)
    ? Buffer.from(text.slice(SECRET_PREFIX.length), 'base64')
    : Buffer.from(text, 'utf8');
}

/** Server and topic of a topic's URL; null when it is none. */
export function ntfyTopic(text: string): { server: string; topic: string } | null {
  if (!URL.canParse(text)) return null;
  const { origin, pathname } = new URL(text);
  const topic = /^\/([A-Za-z0-9_-]{1,64})\/?$/.exec(pathname)?.[1];
  return topic === undefined ? null : { server: `${origin}/`, topic };
}

function isHttpUrl(text: string): boolean {
  return /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);
}
