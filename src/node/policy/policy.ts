/**
 * What this node does for its gateway, decided on the node: whoever takes the gateway over can do no more than this.
 *
 * A run is judged once, before it is in the journal; what was accepted stays so. Once `commands` says what may run, everything that is
 * not mentioned is refused as well, because a variable or a folder can turn one command into another.
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

/** What the policy has to know of this machine. */
interface PolicyHost {
  /** Name of the user that this process runs as. */
  ownUser: string;
  /** Where commands run that name no folder. */
  homeFolder: string;
}

export class Policy {
  readonly #rules: NodePolicyView;
  readonly #host: PolicyHost;

  constructor(config: PolicyConfig, host: PolicyHost) {
    const { allow, exact, deny = [] } = config.commands ?? {};
    const isListed = allow !== undefined || exact !== undefined;
    const unsaid = isListed ? [] : null;
    this.#host = host;
    this.#rules = {
      kinds: config.kinds ?? (isListed ? ['shell'] : POLICY_KINDS),
      commands: isListed ? { allow: allow ?? [], exact: exact ?? [] } : null,
      deny,
      users: config.users ?? unsaid,
      env: config.env ?? unsaid,
      folders: config.folders ?? unsaid,
      maxConcurrency: config.maxConcurrency ?? null,
    };
  }

  /** The rules in force, with what follows from them. */
  get view(): NodePolicyView {
    return this.#rules;
  }

  /** @throws FleetError `policy_denied` with the rule that refuses this run. */
  async check(spec: RunSpec): Promise<void> {
    const { kinds, users, env } = this.#rules;
    if (!kinds.includes(spec.kind)) throw denied('kinds', `${spec.kind} is not allowed`);
    if (spec.kind === 'shell') this.#checkCommand(spec.command);
    if (spec.user !== undefined && spec.user !== this.#host.ownUser && users !== null && !users.includes(spec.user)) {
      throw denied('users', `nothing may run as ${spec.user}`);
    }
    for (const name of Object.keys(spec.env)) {
      if (mayBeSet(name, env ?? undefined)) continue;
      const why = isLoaderVariable(name)
        ? 'it can make other programs run, so it has to be listed by its full name'
        : 'it is not listed';
      throw denied('env', `${name} may not be set: ${why}`);
    }
    if (spec.cwd !== undefined) await this.#checkFolder(spec.cwd, spec.user);
  }

  /**
   * @param active Runs whose command has not exited.
   * @throws FleetError `busy`: the gateway keeps the run and asks again.
   */
  requireFree(active: number): void {
    const { maxConcurrency } = this.#rules;
    if (maxConcurrency === null || active < maxConcurrency) return;
    throw new FleetError('busy', `the policy of the node allows ${maxConcurrency} runs at once`);
  }

  #checkCommand(line: string): void {
    const { commands, deny } = this.#rules;
    const forbidden = deny.find((pattern) => matchesGlob(pattern, line));
    if (forbidden !== undefined) throw denied('commands.deny', `${JSON.stringify(forbidden)} fits the command`);
    if (commands === null || commands.exact.includes(line)) return;
    const words = splitPlainWords(line);
    if (words === undefined) {
      throw denied('commands.allow', 'the command is more than plain words (quotes, wildcards, pipes and the like)');
    }
    if (!commands.allow.some((pattern) => matchesPattern(pattern, words))) {
      throw denied('commands.allow', 'no pattern fits the command');
    }
  }

  async #checkFolder(cwd: string, user: string | undefined): Promise<void> {
    const { folders } = this.#rules;
    if (folders === null) return;
    const isForeign = user !== undefined && user !== this.#host.ownUser;
    if (isForeign && !path.isAbsolute(cwd)) throw denied('folders', 'for another user, the folder has to be absolute');
    const fault = await folderFault(path.resolve(this.#host.homeFolder, cwd), folders);
    if (fault !== undefined) throw denied('folders', fault);
  }
}

function denied(rule: string, why: string): FleetError {
  return new FleetError('policy_denied', `node.policy.${rule}: ${why}`, {
    hint: 'The policy is in the config file of the node; `fleet node status` there shows it.',
  });
}

/** Keeps the policy in force, and takes a changed one over from the config file; a broken file changes nothing. */
interface PolicyFileOptions {
  /** As it was read at the start. */
  initial: PolicyConfig | undefined;
  /** Reads it anew. @throws FleetError `config_invalid`. */
  read(): PolicyConfig | undefined;
  host: PolicyHost;
  logger: Logger;
}

export class PolicyFile {
  readonly #options: PolicyFileOptions;
  #policy: Policy | undefined;
  #fault: string | undefined;

  constructor(options: PolicyFileOptions) {
    this.#options = options;
    this.#policy = this.#make(options.initial);
  }

  /** The rules in force; null without a policy. */
  get view(): NodePolicyView | null {
    return this.#policy?.view ?? null;
  }

  /** What is wrong with the file, while an older policy is in force. */
  faults(): string[] {
    return this.#fault === undefined ? [] : [this.#fault];
  }

  /** Reads the file anew. */
  reload(): void {
    const { read, logger } = this.#options;
    try {
      this.#policy = this.#make(read());
      this.#fault = undefined;
      logger.info({ policy: this.view }, 'policy read');
    } catch (error) {
      const { message } = toFleetError(error);
      this.#fault = `the policy could not be read anew, the one of before is in force: ${message}`;
      logger.error({ reason: message }, 'policy could not be read; the one of before stays in force');
    }
  }

  /** @throws FleetError `policy_denied` with the rule that refuses this run. */
  async check(spec: RunSpec): Promise<void> {
    await this.#policy?.check(spec);
  }

  /** @throws FleetError `busy` when as many runs are active as the policy allows. */
  requireFree(active: number): void {
    this.#policy?.requireFree(active);
  }

  #make(config: PolicyConfig | undefined): Policy | undefined {
    return config === undefined ? undefined : new Policy(config, this.#options.host);
  }
}

/** For a config file that has lost its policy: nobody takes it away by a slip of the editor. */
export function requirePolicy(config: PolicyConfig | undefined): PolicyConfig {
  if (config !== undefined) return config;
  throw new FleetError('config_invalid', 'node.policy is gone from the config file', {
    hint: 'To run without one, restart the node.',
  });
}

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
type PolicyConfig = z.output<typeof policyConfigSchema>;
