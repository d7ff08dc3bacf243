/** What a node says of its processes when somebody looks: never their arguments, which may hold secrets. */
import { z } from 'zod';
import { amount, word } from '../domain/bounded.ts';

/** Most processes in one answer. */
export const MOST_PROCESSES = 50;
/** Longest name of a program that is told, characters. */
export const MAX_PROCESS_NAME_LENGTH = 64;

export const processSchema = z.object({
  pid: z.number().int().positive(),
  /** Null when the machine does not say whose it is; an id when the user has no name. */
  user: word(256).nullable(),
  /** Of all cores, over the half second before the answer where the system tells. */
  cpuPct: amount,
  /** Of the machine's memory. */
  memPct: amount,
  /** Resident memory. */
  rssBytes: amount,
  /** The program's name. */
  command: word(MAX_PROCESS_NAME_LENGTH),
});

export const processSortSchema = z.enum(['cpu', 'mem']);

export const processesQuery = z.object({
  limit: z.coerce.number().int().min(1).max(MOST_PROCESSES).default(10),
  sort: processSortSchema.default('cpu'),
});

export const processesAnswer = z.object({ processes: z.array(processSchema).max(MOST_PROCESSES) });

export type ProcessFigures = z.infer<typeof processSchema>;
export type ProcessSort = z.infer<typeof processSortSchema>;
export type ProcessesQuery = z.infer<typeof processesQuery>;

/** What `fleet health NODE --processes --json` prints. */
export const processesViewSchema = z.object({
  node: word(255),
  /** The largest first. */
  processes: z.array(processSchema.extend({ command: z.string().max(MAX_PROCESS_NAME_LENGTH) })).max(MOST_PROCESSES),
});
export type ProcessesView = z.infer<typeof processesViewSchema>;
