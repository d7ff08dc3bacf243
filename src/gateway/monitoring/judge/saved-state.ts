/** What the monitor remembers of a node between two heartbeats, as the store keeps it, so that a restart forgets nothing. */
import { z } from 'zod';
import type { HealthState } from './judge-heartbeat.ts';
import { type LinkState, NEW_LINK } from './link-quality.ts';

const numberOrNull = z.number().nullable();

const schema = z.object({
  state: z.object({
    at: z.number(),
    conditions: z.array(
      z.object({
        key: z.string(),
        severity: z.enum(['busy', 'limited', 'error']),
        words: z.array(z.string()),
        isActive: z.boolean(),
        since: z.number(),
        clearSince: numberOrNull,
      }),
    ),
  }),
  link: z.object({
    at: numberOrNull,
    rttMs: numberOrNull,
    meanRttMs: numberOrNull,
    jitterMs: numberOrNull,
    reconnects: z.array(z.number()),
    kept: z.number(),
    lost: z.number(),
  }),
});

export interface SavedState {
  state: HealthState | null;
  link: LinkState;
}

export function formatSavedState(saved: SavedState): string {
  return JSON.stringify(saved);
}

/** Nothing remembered when it was written by a version that remembered something else, or is damaged. */
export function parseSavedState(text: string | null): SavedState {
  try {
    const parsed = schema.safeParse(JSON.parse(text ?? 'null'));
    if (parsed.success) return parsed.data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return { state: null, link: NEW_LINK };
}
