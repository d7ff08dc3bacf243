/** What nodes and labels may be called, and how a name is made out of whatever a machine calls itself. */
import { z } from 'zod';
import { boundedRecord } from './bounded.ts';

const MAX_LABELS = 64;

export const nodeNameSchema = z
  .string()
  .max(63)
  .regex(
    /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/,
    'a name has 1 to 63 of a-z, 0-9, dot and dash, and starts and ends with a letter or digit',
  );

export const labelKeySchema = z
  .string()
  .max(63)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9_./-]{0,62})$/, 'a label key has 1 to 63 of letters, digits, _ . / -');

export const labelValueSchema = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9_.:/@+-]{0,128}$/, 'a label value has at most 128 of letters, digits and _ . : / @ + -');

export const labelsSchema = boundedRecord(labelKeySchema, labelValueSchema, MAX_LABELS);

export type Labels = z.infer<typeof labelsSchema>;
