/** What the API is asked about alerts. */
import { z } from 'zod';

const MAX_SILENCE_MS = 365 * 86_400_000;

export const silenceRequest = z.strictObject({
  /** A rule, a node, or the id of an alert or its beginning. */
  what: z.string().min(1).max(256),
  forMs: z.number().int().positive().max(MAX_SILENCE_MS, 'a silence lasts at most 365 days'),
  reason: z.string().min(1).max(500).optional(),
});
export type SilenceRequest = z.infer<typeof silenceRequest>;

export const unsilenceRequest = z.strictObject({ what: z.string().min(1).max(256) });

export const alertTestRequest = z.strictObject({
  /** All of them when absent. */
  receiver: z.string().min(1).max(64).optional(),
});
