/** Rules for names of nodes and labels. */
import { z } from 'zod';
import { describeForeign } from '../shared/text.ts';
import { boundedRecord } from './bounded.ts';

/** Most labels of one node, and of one change of them. */
export const MAX_LABELS = 64;

export const nodeNameSchema = z
  .string()
  .max(63)
  .regex(
    /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/,
    explain('a name has 1 to 63 of a-z, 0-9, dot and dash, and starts and ends with a letter or digit', /[a-z0-9.-]/),
  );

export const labelKeySchema = z
  .string()
  .max(63)
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9_./-]{0,62})$/,
    explain('a label key has 1 to 63 of letters, digits, _ . / -', /[A-Za-z0-9_./-]/),
  );

export const labelValueSchema = z
  .string()
  .max(128)
  .regex(
    /^[A-Za-z0-9_.:/@+-]{0,128}$/,
    explain('a label value has at most 128 of letters, digits and _ . : / @ + -', /[A-Za-z0-9_.:/@+-]/),
  );

export const labelsSchema = boundedRecord(labelKeySchema, labelValueSchema, MAX_LABELS);

export type Labels = z.infer<typeof labelsSchema>;

/** Names the illegal character, which may be invisible. */
function explain(rule: string, allowed: RegExp): { error: (issue: { input?: unknown }) => string } {
  return {
    error: ({ input }) => {
      const foreign = describeForeign(String(input), allowed);
      return foreign === undefined ? rule : `${foreign}: ${rule}`;
    },
  };
}
