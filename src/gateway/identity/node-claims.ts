/**
 * What a node claims about itself after pairing. Labels decide which commands and secrets a node receives, and agents which prompts, so
 * changes take effect only when an admin approves them; new capabilities wait only if the gateway is configured so.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Labels } from '../../domain/names.ts';
import type { NodeFacts } from '../../protocol/node-messages.ts';
import { eightDigits } from '../../protocol/pairing.ts';
import { FleetError } from '../../shared/errors.ts';
import { actorOfKey, type KeyHolder } from '../audit/act.ts';
import { type LabelOverrides, type NodeClaim, type NodeRecord, withoutNulls } from '../nodes/nodes-table.ts';
import type { IdentityContext, IdentityStore } from './tables.ts';
import { WindowLimit } from './window-limit.ts';

/** Changes per node and window, ms: each leaves a row in the audit log, which no node may fill. */
const MAX_CHANGES = 20;
const CHANGE_WINDOW_MS = 3_600_000;

/** What an admin decides on. */
export interface PendingChange {
  node: NodeRecord;
  /** Eight digits that stand for exactly this change of this node. */
  code: string;
  /** Only what would change; null removes a label. */
  labels: LabelOverrides;
  capabilities: string[];
  /** ms. */
  since: number;
}

interface NodeClaimsOptions extends IdentityContext {
  /** Whether new capabilities wait for an admin as well. */
  approveCapabilities: boolean;
}

export class NodeClaims {
  readonly #options: NodeClaimsOptions;
  readonly #changes: WindowLimit;

  constructor(options: NodeClaimsOptions) {
    this.#options = options;
    this.#changes = new WindowLimit(options.clock, MAX_CHANGES, CHANGE_WINDOW_MS);
  }

  /** Records what the node claims; without `labels` it claims nothing about them. Call within a write. @throws FleetError `busy`. */
  receive(node: NodeRecord, said: { facts: NodeFacts; labels: Labels | undefined }, peer: KeyHolder): void {
    const { store, clock, approveCapabilities } = this.#options;
    const { facts, labels = node.claim?.labels } = said;
    const added = [...new Set(facts.capabilities)].filter((one) => !node.approvedCapabilities.includes(one)).sort();
    store.nodes.setFacts(node.id, facts, approveCapabilities ? node.approvedCapabilities : facts.capabilities);
    if (!approveCapabilities && added.length > 0) this.#audit(node, peer, 'node.capabilities', { added });

    const refused = node.refusedClaim;
    const capabilities = approveCapabilities ? added.filter((one) => !refused.capabilities.includes(one)) : [];
    const changes = labels === undefined ? {} : changesOf(node, labels);
    const isClaim = Object.keys(changes).length > 0 && !isDeepStrictEqual(refused.labels, labels);
    const claim: Omit<NodeClaim, 'at'> = { ...(isClaim && labels !== undefined ? { labels } : {}), capabilities };
    const { at: _at, ...present } = node.claim ?? { at: 0, capabilities: [] };
    if (isDeepStrictEqual(present, claim)) return;
    const isNothing = !isClaim && capabilities.length === 0;
    store.nodes.setClaim(node.id, isNothing ? null : { ...claim, at: clock.now() });
    if (isNothing) return;
    const details = { ...(isClaim ? { labels: changes } : {}), ...(capabilities.length > 0 ? { capabilities } : {}) };
    this.#audit(node, peer, 'node.claim', details);
  }

  #audit(node: NodeRecord, peer: KeyHolder, action: string, details: object): void {
    const { store, logger } = this.#options;
    if (this.#changes.isReached(node.id)) {
      throw new FleetError('busy', `${node.name} changes its labels or capabilities too often`, {
        hint: 'Wait an hour, or restart the gateway.',
      });
    }
    this.#changes.count(node.id);
    const actor = actorOfKey(peer, node.name, 'node');
    store.audit.append({ actor, action, outcome: 'ok', details: { node: node.name, id: node.id, ...details } });
    logger.warn({ node: node.name, action, ...details }, 'a node changed its labels or capabilities');
  }
}

/** By name of the node. */
export function pendingChanges(store: IdentityStore): PendingChange[] {
  return store.nodes.claiming().flatMap((node) => pendingChange(node) ?? []);
}

/** Call within a write. */
export function decideChange(store: IdentityStore, change: PendingChange, decision: 'approve' | 'reject'): void {
  const { node, capabilities } = change;
  const { refusedClaim, claim } = node;
  if (decision === 'approve') {
    store.nodes.setOwnLabels(node.id, withoutNulls({ ...node.ownLabels, ...change.labels }));
    const approved = [...new Set([...node.approvedCapabilities, ...capabilities])];
    if (node.facts !== null) store.nodes.setFacts(node.id, node.facts, approved);
    store.nodes.setRefusedClaim(node.id, { capabilities: [] });
  } else {
    const labels = claim?.labels ?? refusedClaim.labels;
    store.nodes.setRefusedClaim(node.id, {
      ...(labels === undefined ? {} : { labels }),
      capabilities: [...new Set([...refusedClaim.capabilities, ...capabilities])],
    });
  }
  store.nodes.setClaim(node.id, null);
}

/** Undefined if the node claims nothing that would change anything. */
export function pendingChange(node: NodeRecord): PendingChange | undefined {
  const { claim } = node;
  if (claim === null || node.revokedAt !== null) return undefined;
  return changeOf(node, claim, claim.at);
}

/** A change that was rejected and can still be approved. */
export function refusedChange(node: NodeRecord): PendingChange | undefined {
  return changeOf(node, node.refusedClaim, node.createdAt);
}

function changeOf(node: NodeRecord, claim: Omit<NodeClaim, 'at'>, since: number): PendingChange | undefined {
  const labels = claim.labels === undefined ? {} : changesOf(node, claim.labels);
  const capabilities = claim.capabilities.filter((each) => node.facts?.capabilities.includes(each)).sort();
  const entries = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length + capabilities.length === 0) return undefined;
  const digest = createHash('sha256')
    .update(JSON.stringify([node.id, entries, capabilities]))
    .digest();
  return { node, code: eightDigits(digest), labels: Object.fromEntries(entries), capabilities, since };
}

/** A node cannot change keys that an admin or the invite has set. */
function changesOf({ ownLabels, labelOverrides }: NodeRecord, wanted: Labels): LabelOverrides {
  const [own, next] = [new Map(Object.entries(ownLabels)), new Map(Object.entries(wanted))];
  const changed = [...new Set([...own.keys(), ...next.keys()])].filter(
    (key) => !Object.hasOwn(labelOverrides, key) && own.get(key) !== next.get(key),
  );
  return Object.fromEntries(changed.map((key) => [key, next.get(key) ?? null]));
}
