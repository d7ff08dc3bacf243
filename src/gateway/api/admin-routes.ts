/** The gateway itself, its nodes, and what waits for approval, as people see and manage them. */
import { COMPARISON_CODE } from '../../protocol/pairing.ts';
import { isoTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import { type ActDetails, GATEWAY_ACTOR } from '../audit/act.ts';
import { assertNameFree } from '../identity/names.ts';
import {
  decideChange,
  type PendingChange,
  pendingChange,
  pendingChanges,
  refusedChange,
} from '../identity/node-claims.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import { lookUp } from '../store/look-up.ts';
import { findNode, resolveTarget } from './find.ts';
import type { ApiContext, Handlers } from './route.ts';
import { changeView, nodeDetailView, nodeView, pendingView } from './views.ts';

/** What is wrong with a configuration may quote it, secrets included. */
const FAULT_FOR_OTHERS = 'the configuration cannot be read; an admin can see why';

export function gatewayRoutes({ store, keys, logger, describe, reload, shutdown }: ApiContext) {
  return {
    'GET /v1/gateway': ({ caller }) => {
      const view = describe();
      if (caller.role === 'admin' || view.config.fault === null) return view;
      return { ...view, config: { ...view.config, fault: FAULT_FOR_OTHERS } };
    },

    'POST /v1/gateway/shutdown': async ({ act, caller }, reply) => {
      await act?.record();
      logger.info({ by: caller.name }, 'shutdown requested');
      reply.raw.once('close', () => shutdown());
      return reply.code(202).header('connection', 'close').send({ pid: process.pid });
    },

    'POST /v1/gateway/reload': () => reload(),

    'POST /v1/gateway/rotate-key': async ({ act, caller }) => {
      const actor = act?.actor ?? GATEWAY_ACTOR;
      const { id, graceEndsAt } = await store.perform(
        () => {
          const { undo, ...value } = keys.rotate();
          return { value, undo };
        },
        // This signs the head of the audit log with the new key at once.
        (value) =>
          store.audit.append({ actor, action: 'gateway.key-rotated', outcome: 'ok', details: { key: value.id } }),
      );
      logger.warn({ by: caller.name, key: id }, 'signing key rotated');
      return { key: id, graceEndsAt: isoTime(graceEndsAt) };
    },
  } satisfies Partial<Handlers>;
}

export function fleetRoutes(context: ApiContext) {
  const { store, sessions, removal, epochs, logger } = context;
  const detailView = (node: NodeRecord) => nodeDetailView(store.nodes.byId(node.id) ?? node, context);

  return {
    'GET /v1/nodes': ({ query: { selector, exclude } }) => {
      const nodes =
        selector === undefined ? store.nodes.all() : resolveTarget({ target: { selector, exclude } }, context);
      return { nodes: nodes.map((node) => nodeView(node, context)) };
    },

    'GET /v1/nodes/:node': ({ params }) => detailView(findNode(store, params.node)),

    'PATCH /v1/nodes/:node': async (request) => {
      const node = findNode(store, request.params.node);
      const { name, labels } = request.body;
      request.act?.note({ node: node.name, id: node.id, name, labels });
      await store.write(() => {
        if (name !== undefined && name !== node.name) {
          assertNameFree(store, 'node', name, node.id);
          store.nodes.rename(node.id, name);
        }
        if (labels !== undefined) store.nodes.changeLabels(node.id, labels);
      });
      if (name !== undefined) sessions.rename(node.id, name);
      return detailView(node);
    },

    'POST /v1/nodes/:node/revoke': async ({ params, act, caller }) => {
      const node = findNode(store, params.node);
      act?.note(nodeDetails(node));
      await removal.revoke(node, caller.name);
      return detailView(node);
    },

    'POST /v1/nodes/:node/reset': async ({ params, act, caller }) => {
      const node = findNode(store, params.node);
      act?.note(nodeDetails(node));
      if (node.revokedAt !== null) {
        throw new FleetError('conflict', `${node.name} is revoked and cannot connect, so there is nothing to reset`, {
          hint: `To let it in again: fleet nodes rm ${node.name}, then pair it with a new code from fleet invite`,
        });
      }
      logger.warn({ node: node.name, clone: epochs.suspicionOf(node.id), by: caller.name }, 'node reset');
      await epochs.reset(node.id);
      return nodeDetailView(node, context);
    },

    'DELETE /v1/nodes/:node': async ({ params, act, caller }, reply) => {
      const node = findNode(store, params.node);
      act?.note(nodeDetails(node));
      await removal.remove(node, caller.name);
      return reply.code(204).send();
    },
  } satisfies Partial<Handlers>;
}

export function pendingRoutes(context: ApiContext) {
  const { store, pending, logger } = context;
  return {
    'GET /v1/pending': () => ({
      pending: [
        ...pending.list().map(pendingView),
        ...pendingChanges(store).map((change) => changeView(change, context)),
      ],
    }),

    'POST /v1/pending/:which': async (request) => {
      const { act, caller } = request;
      const { which } = request.params;
      const { decision, name, labels } = request.body;
      const change = findChange(context, which, decision);
      if (change !== undefined) {
        if (name !== undefined) {
          throw new FleetError('usage', `${change.node.name} is already a node, and requests a change`, {
            hint: `Leave out --name; to rename it: fleet nodes rename ${change.node.name} ${name}`,
          });
        }
        const { capabilities } = change;
        act?.note({ ...nodeDetails(change.node), decision, change: { labels: change.labels, capabilities }, labels });
        await store.write(() => {
          // The node may have changed its request meanwhile.
          if (findChange(context, which, decision)?.code !== change.code) {
            throw new FleetError('conflict', `${change.node.name} now requests something else`, {
              hint: 'Look again: fleet nodes pending',
            });
          }
          decideChange(store, change, decision);
          if (labels !== undefined) store.nodes.changeLabels(change.node.id, labels);
        });
        logger.info({ node: change.node.name, decision, by: caller.name }, 'change of a node decided');
        return changeView(change, context);
      }
      act?.note({ decision, name, labels });
      // Decisions are kept in memory only.
      const decided = await store.perform(() => {
        if (name !== undefined) assertNameFree(store, 'node', name);
        const value = pending.decide(which, decision, name, labels);
        return { value, undo: () => pending.undecide(value) };
      });
      logger.info({ node: decided.name, decision, by: caller.name }, 'pending node decided');
      return pendingView(decided);
    },
  } satisfies Partial<Handlers>;
}

/** The change that `which` names, unless it names a pending machine. @throws FleetError `ambiguous`. */
function findChange(
  { store, pending }: ApiContext,
  which: string,
  decision: 'approve' | 'reject',
): PendingChange | undefined {
  const coded = pendingChanges(store).filter(({ code }) => code === which);
  const isCode = coded.length > 0 || COMPARISON_CODE.test(which);
  const named = isCode
    ? []
    : lookUp(store.nodes, which).flatMap(
        (node) => pendingChange(node) ?? (decision === 'approve' ? (refusedChange(node) ?? []) : []),
      );
  const [change, another] = [...coded, ...named];
  if (change === undefined) return undefined;
  const machines = pending.find(which);
  if (another === undefined && machines.length === 0) return change;
  const codes = [...coded, ...named, ...machines].map(({ code }) => code).join(', ');
  throw new FleetError('ambiguous', `${which} matches more than one pending request: ${codes}`, {
    hint: 'Use its code; see fleet nodes pending.',
  });
}

function nodeDetails({ name, id, publicKey }: NodeRecord): ActDetails {
  return { node: name, id, key: formatFingerprint(sshPublicKeyBlob(publicKey)) };
}
