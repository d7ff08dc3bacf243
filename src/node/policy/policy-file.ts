/** Keeps the policy in force, and takes a changed one over from the config file; a broken file changes nothing. */
import type { NodePolicyView } from '../../protocol/node-control.ts';
import type { RunSpec } from '../../protocol/run-spec.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { Policy, type PolicyHost } from './policy.ts';
import type { PolicyConfig } from './policy-config.ts';

export interface PolicyFileOptions {
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
