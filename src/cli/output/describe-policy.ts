/** Shows a node's policy to the people who have to live with it: one line a rule, and what it means where it says nothing. */
import type { NodePolicyView } from '../../protocol/node-control.ts';

export function describePolicy(policy: NodePolicyView | null): [string, string][] {
  if (policy === null) return [['policy', 'none: the gateway may ask for anything']];
  const { commands } = policy;
  const facts: [string, string][] = [['policy: kinds', list(policy.kinds)]];
  if (commands === null) facts.push(['policy: commands', 'any']);
  for (const pattern of commands?.allow ?? []) facts.push(['policy: allow', pattern]);
  for (const line of commands?.exact ?? []) facts.push(['policy: exact', JSON.stringify(line)]);
  for (const pattern of policy.deny) facts.push(['policy: deny', JSON.stringify(pattern)]);
  facts.push(
    ['policy: users', policy.users === null ? 'any' : list(['its own', ...policy.users])],
    ['policy: env', policy.env === null ? 'any that makes no other program run' : list(policy.env)],
    ['policy: folders', policy.folders === null ? 'any' : list(['the home folder', ...policy.folders])],
    ['policy: at once', policy.maxConcurrency === null ? 'as the gateway likes' : String(policy.maxConcurrency)],
  );
  return facts;
}

function list(words: readonly string[]): string {
  return words.length === 0 ? 'none' : words.join(', ');
}
