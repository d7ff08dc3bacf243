/** The node's own say, as its config file writes it: what its gateway may ask of it. docs/policy.md explains each rule. */
import { z } from 'zod';
import { commandSchema } from '../../protocol/run-spec.ts';
import { patternFault } from './word-pattern.ts';

/** Kinds of work that there are. */
export const POLICY_KINDS = ['shell', 'agent'] as const;

const wordPattern = z.string().superRefine((text, context) => {
  const fault = patternFault(text);
  if (fault !== undefined)
    context.addIssue({ code: 'custom', message: `the pattern ${JSON.stringify(text)} ${fault}` });
});

const commandsSchema = z
  .strictObject({
    /** Patterns over plain words; everything that needs a shell's language is refused then. */
    allow: z.array(wordPattern).optional(),
    /** Command lines that are allowed byte for byte, whatever is in them. */
    exact: z.array(commandSchema).optional(),
    /** Texts in which `*` stands for anything. Against mistakes, not against an enemy. */
    deny: z.array(z.string().min(1)).optional(),
  })
  .refine(
    (commands) => Object.values(commands).some((rule) => rule !== undefined),
    'says neither allow, exact nor deny',
  );

export const policyConfigSchema = z.strictObject({
  kinds: z.array(z.enum(POLICY_KINDS)).optional(),
  commands: commandsSchema.optional(),
  users: z.array(z.string().min(1)).optional(),
  env: z
    .array(z.string().regex(/^[A-Za-z_*][A-Za-z0-9_*]*$/, 'neither the name of a variable nor a pattern of one'))
    .optional(),
  folders: z.array(z.string().startsWith('/', 'not an absolute path')).optional(),
  maxConcurrency: z.number().int().positive().optional(),
});

/** Deeply frozen, as all of the configuration. */
export type PolicyConfig = z.output<typeof policyConfigSchema>;
