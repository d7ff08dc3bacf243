/**
 * What this node does for its gateway, decided on the node: whoever takes the gateway over can do no more than this.
 *
 * A run is judged once, before it is in the journal; what was accepted stays so. Once `commands` says what may run, everything that is
 * not mentioned is refused as well, because a variable or a folder can turn one command into another.
 */
import path from 'node:path';
import type { NodePolicyView } from '../../protocol/node-control.ts';
import type { RunSpec } from '../../protocol/run-spec.ts';
import { FleetError } from '../../shared/errors.ts';
import { isLoaderVariable, mayBeSet } from './environment-rule.ts';
import { folderFault } from './folder-rule.ts';
import { matchesGlob } from './glob.ts';
import { splitPlainWords } from './plain-words.ts';
import { POLICY_KINDS, type PolicyConfig } from './policy-config.ts';
import { matchesPattern } from './word-pattern.ts';

/** What the policy has to know of this machine. */
export interface PolicyHost {
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
