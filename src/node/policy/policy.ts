/**
 * What this node does for its gateway, decided on the node, so that a compromised gateway can do no more. docs/policy.md explains the rules.
 *
 * A run is checked once, before it is journaled. Once `commands` lists what may run, anything the policy does not mention is refused too,
 * because a variable or a folder can turn one command into another.
 */
import path from 'node:path';
import { z } from 'zod';
import type { NodePolicyView } from '../../protocol/node-control.ts';
import { commandSchema, type RunSpec } from '../../protocol/run-spec.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import {
  folderFault,
  isLoaderVariable,
  matchesGlob,
  matchesPattern,
  mayBeSet,
  patternFault,
  splitPlainWords,
} from './rules.ts';

export const POLICY_KINDS = ['shell', 'agent'] as const;

const wordPattern = z.string().superRefine((text, context) => {
  const fault = patternFault(text);
  if (fault !== undefined)
    context.addIssue({ code: 'custom', message: `the pattern ${JSON.stringify(text)} ${fault}` });
});

const commandsSchema = z
  .strictObject({
    /** Patterns over plain words. */
    allow: z.array(wordPattern).optional(),
    /** Command lines that are allowed byte for byte. */
    exact: z.array(commandSchema).optional(),
    /** `*` stands for anything. Protects against mistakes, not against an attacker. */
    deny: z.array(z.string().min(1)).optional(),
  })
  .refine((commands) => Object.values(commands).some((rule) => rule !== undefined), 'needs allow, exact or deny');

export const policyConfigSchema = z.strictObject({
  kinds: z.array(z.enum(POLICY_KINDS)).optional(),
  commands: commandsSchema.optional(),
  users: z.array(z.string().min(1)).optional(),
  env: z.array(z.string().regex(/^[A-Za-z_*][A-Za-z0-9_*]*$/, 'not a variable name or a pattern of one')).optional(),
  folders: z.array(z.string().startsWith('/', 'not an absolute path')).optional(),
  maxConcurrency: z.number().int().positive().optional(),
});

type PolicyConfig = z.output<typeof policyConfigSchema>;

interface PolicyOptions {
  initial: PolicyConfig | undefined;
  /** Reloads the config file. @throws FleetError `config_invalid`. */
  read(): PolicyConfig | undefined;
  /** The user this process runs as. */
  ownUser: string;
  /** Where commands run by default. */
  homeFolder: string;
  logger: Logger;
}

export class Policy {
  readonly #options: PolicyOptions;
  #rules: NodePolicyView | null;
  #fault: string | undefined;

  constructor(options: PolicyOptions) {
    this.#options = options;
    this.#rules = rulesOf(options.initial);
  }

  /** The rules in force, including implied ones; null without a policy. */
  get view(): NodePolicyView | null {
    return this.#rules;
  }

  /** What is wrong with the file while an older policy is in force. */
  faults(): string[] {
    return this.#fault === undefined ? [] : [this.#fault];
  }

  /** A broken file changes nothing. */
  reload(): void {
    const { read, logger } = this.#options;
    try {
      this.#rules = rulesOf(read());
      this.#fault = undefined;
      logger.info({ policy: this.view }, 'policy reloaded');
    } catch (error) {
      const { message } = toFleetError(error);
      this.#fault = `cannot reload the policy, the previous one stays in force: ${message}`;
      logger.error({ reason: message }, 'cannot reload the policy; the previous one stays in force');
    }
  }

  /** @throws FleetError `policy_denied` with the rule that refuses the run. */
  async check(spec: RunSpec): Promise<void> {
    const rules = this.#rules;
    if (rules === null) return;
    const { user, cwd } = spec;
    if (!rules.kinds.includes(spec.kind)) throw denied('kinds', `${spec.kind} is not allowed`);
    if (spec.kind === 'shell') checkCommand(rules, spec.command);
    const isForeign = user !== undefined && user !== this.#options.ownUser;
    if (isForeign && rules.users !== null && !rules.users.includes(user)) {
      throw denied('users', `running as ${user} is not allowed`);
    }
    for (const name of Object.keys(spec.env)) {
      if (mayBeSet(name, rules.env ?? undefined)) continue;
      const why = isLoaderVariable(name)
        ? 'it can make other programs run, so it must be listed by its full name'
        : 'it is not listed';
      throw denied('env', `${name} may not be set: ${why}`);
    }
    if (cwd === undefined || rules.folders === null) return;
    if (isForeign && !path.isAbsolute(cwd)) throw denied('folders', 'for another user, the folder must be absolute');
    const fault = await folderFault(path.resolve(this.#options.homeFolder, cwd), rules.folders);
    if (fault !== undefined) throw denied('folders', fault);
  }

  /**
   * @param active Runs whose command has not exited.
   * @throws FleetError `busy` at `maxConcurrency`: the gateway keeps the run and retries.
   */
  requireFree(active: number): void {
    const max = this.#rules?.maxConcurrency ?? null;
    if (max === null || active < max) return;
    throw new FleetError('busy', `the node's policy allows ${max} concurrent runs`);
  }
}

function rulesOf(config: PolicyConfig | undefined): NodePolicyView | null {
  if (config === undefined) return null;
  const { allow, exact, deny = [] } = config.commands ?? {};
  const isListed = allow !== undefined || exact !== undefined;
  const unmentioned = isListed ? [] : null;
  return {
    kinds: config.kinds ?? (isListed ? ['shell'] : POLICY_KINDS),
    commands: isListed ? { allow: allow ?? [], exact: exact ?? [] } : null,
    deny,
    users: config.users ?? unmentioned,
    env: config.env ?? unmentioned,
    folders: config.folders ?? unmentioned,
    maxConcurrency: config.maxConcurrency ?? null,
  };
}

function checkCommand({ commands, deny }: NodePolicyView, line: string): void {
  const forbidden = deny.find((pattern) => matchesGlob(pattern, line));
  if (forbidden !== undefined) throw denied('commands.deny', `${JSON.stringify(forbidden)} matches the command`);
  if (commands === null || commands.exact.includes(line)) return;
  const words = splitPlainWords(line);
  if (words === undefined) {
    throw denied(
      'commands.allow',
      'the command is more than plain words (it has quotes, wildcards, pipes or the like)',
    );
  }
  if (commands.allow.some((pattern) => matchesPattern(pattern, words))) return;
  throw denied('commands.allow', 'no pattern matches the command');
}

function denied(rule: string, why: string): FleetError {
  return new FleetError('policy_denied', `node.policy.${rule}: ${why}`, {
    hint: "The policy is in the node's config file; `fleet node status` on the node shows it.",
  });
}

/** Keeps an editing mistake from removing the policy. @throws FleetError `config_invalid` when there is none. */
export function requirePolicy(config: PolicyConfig | undefined): PolicyConfig {
  if (config !== undefined) return config;
  throw new FleetError('config_invalid', 'node.policy is gone from the config file', {
    hint: 'To run without a policy, restart the node.',
  });
}
