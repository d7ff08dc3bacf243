/** Nodes and the gateway itself, as people see and manage them. */
import { COMPARISON_CODE } from '../../protocol/pairing.ts';
import type { GatewayView, ReloadView, RotatedKeyView } from '../../protocol/views.ts';
import type { Clock } from '../../shared/clock.ts';
import { isoTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, queryText } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import { type ActDetails, GATEWAY_ACTOR } from '../audit/act.ts';
import type { ConnectEpochs } from '../identity/connect-epochs.ts';
import { assertNameFree } from '../identity/names.ts';
import {
  decideChange,
  type PendingChange,
  pendingChange,
  pendingChanges,
  refusedChange,
} from '../identity/node-claims.ts';
import type { NodeRemoval } from '../nodes/node-removal.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import type { PendingNodes } from '../nodes/pending-nodes.ts';
import { lookUp } from '../store/look-up.ts';
import { type ApiStore, findNode, resolveTarget } from './find.ts';
import { addRoute } from './route.ts';
import { changeView, nodeDetailView, nodeView, pendingView, type ViewSources } from './views.ts';

/** What is wrong with a configuration may quote it, secrets included. */
const FAULT_FOR_OTHERS = 'the configuration cannot be read; an admin sees why';

interface AdminRoutesOptions extends ViewSources {
  store: ApiStore;
  removal: Pick<NodeRemoval, 'remove' | 'revoke'>;
  epochs: ConnectEpochs;
  pending: PendingNodes;
  clock: Clock;
  logger: Logger;
  describeGateway(): GatewayView;
  /** Replaces the signing key. */
  rotateKey(): { id: string; graceEndsAt: number; undo(): void };
  /** Reads the configuration anew. @throws FleetError `config_invalid`. */
  reload(): Promise<ReloadView>;
  /** Begins the orderly end of the process. */
  shutdown(): void;
}

export function addAdminRoutes(app: App, options: AdminRoutesOptions): void {
  const { store, sessions, epochs, pending, logger } = options;

  addRoute(app, 'GET /v1/gateway', ({ caller }): GatewayView => {
    const view = options.describeGateway();
    if (caller.role === 'admin' || view.config.fault === null) return view;
    return { ...view, config: { ...view.config, fault: FAULT_FOR_OTHERS } };
  });

  addRoute(app, 'POST /v1/gateway/shutdown', async (request, reply) => {
    await request.act?.record();
    logger.info({ by: request.caller.name }, 'shutdown asked');
    reply.raw.once('close', () => options.shutdown());
    return reply.code(202).header('connection', 'close').send({ pid: process.pid });
  });

  addRoute(app, 'POST /v1/gateway/reload', (): Promise<ReloadView> => options.reload());

  addRoute(app, 'POST /v1/gateway/rotate-key', async (request): Promise<RotatedKeyView> => {
    const actor = request.act?.actor ?? GATEWAY_ACTOR;
    const { id, graceEndsAt } = await store.perform(
      () => {
        const { undo, ...value } = options.rotateKey();
        return { value, undo };
      },
      // The head of the audit log is signed with the new key at once.
      (value) =>
        store.audit.append({ actor, action: 'gateway.key-rotated', outcome: 'ok', details: { key: value.id } }),
    );
    logger.warn({ by: request.caller.name, key: id }, 'signing key rotated');
    return { key: id, graceEndsAt: isoTime(graceEndsAt) };
  });

  addRoute(app, 'GET /v1/nodes', (request) => {
    const selector = queryText(request, 'selector');
    const nodes =
      selector === undefined
        ? store.nodes.all()
        : resolveTarget({ target: { selector, exclude: queryText(request, 'exclude') } }, options);
    return { nodes: nodes.map((node) => nodeView(node, options)) };
  });

  addRoute(app, 'GET /v1/nodes/:node', (request) => nodeDetailView(named(request.params), options));

  addRoute(app, 'PATCH /v1/nodes/:node', async (request, _reply, input) => {
    const node = named(request.params);
    const { name, labels } = input();
    request.act?.note({ node: node.name, id: node.id, name, labels });
    await store.write(() => {
      if (name !== undefined && name !== node.name) {
        assertNameFree(store, 'node', name, node.id);
        store.nodes.rename(node.id, name);
      }
      if (labels !== undefined) store.nodes.changeLabels(node.id, labels);
    });
    if (name !== undefined) sessions.rename(node.id, name);
    return nodeDetailView(store.nodes.byId(node.id) ?? node, options);
  });

  addRoute(app, 'POST /v1/nodes/:node/revoke', async (request) => {
    const node = named(request.params);
    request.act?.note(nodeDetails(node));
    await options.removal.revoke(node, request.caller.name);
    return nodeDetailView(store.nodes.byId(node.id) ?? node, options);
  });

  addRoute(app, 'POST /v1/nodes/:node/reset', async (request) => {
    const node = named(request.params);
    request.act?.note(nodeDetails(node));
    if (node.revokedAt !== null) {
      throw new FleetError('conflict', `${node.name} is revoked: it may not connect, so there is nothing to reset`, {
        hint: `To let it in again: fleet nodes rm ${node.name}, then pair it with a new code from fleet invite`,
      });
    }
    logger.warn({ node: node.name, clone: epochs.suspicionOf(node.id), by: request.caller.name }, 'node reset');
    await epochs.reset(node.id);
    return nodeDetailView(node, options);
  });

  addRoute(app, 'DELETE /v1/nodes/:node', async (request, reply) => {
    const node = named(request.params);
    request.act?.note(nodeDetails(node));
    await options.removal.remove(node, request.caller.name);
    return reply.code(204).send();
  });

  addRoute(app, 'GET /v1/pending', () => ({
    pending: [
      ...pending.list().map(pendingView),
      ...pendingChanges(store).map((change) => changeView(change, options)),
    ],
  }));

  addRoute(app, 'POST /v1/pending/:which', async (request, _reply, input) => {
    const { which } = request.params;
    const { decision, name, labels } = input();
    const change = findChange(store, pending, which, decision);
    if (change !== undefined) {
      if (name !== undefined) {
        throw new FleetError('usage', `${change.node.name} is a node already, and asks for a change`, {
          hint: `Without --name; to rename it: fleet nodes rename ${change.node.name} ${name}`,
        });
      }
      request.act?.note({
        ...nodeDetails(change.node),
        decision,
        change: { labels: change.labels, capabilities: change.capabilities },
        labels,
      });
      await store.write(() => {
        // The node may have said something else since.
        if (findChange(store, pending, which, decision)?.code !== change.code) {
          throw new FleetError('conflict', `${change.node.name} asks for something else now`, {
            hint: 'Look again: fleet nodes pending',
          });
        }
        decideChange(store, change, decision);
        if (labels !== undefined) store.nodes.changeLabels(change.node.id, labels);
      });
      logger.info({ node: change.node.name, decision, by: request.caller.name }, 'change of a node decided');
      return changeView(change, options);
    }
    request.act?.note({ decision, name, labels });
    // Decisions are kept in memory only.
    const decided = await store.perform(() => {
      if (name !== undefined) assertNameFree(store, 'node', name);
      const value = pending.decide(which, decision, name, labels);
      return { value, undo: () => pending.undecide(value) };
    });
    logger.info({ node: decided.name, decision, by: request.caller.name }, 'pending node decided');
    return pendingView(decided);
  });

  function named(params: unknown): NodeRecord {
    return findNode(store, (params as { node: string }).node);
  }
}

/** The change that is meant, unless a waiting machine is. @throws FleetError `ambiguous`. */
function findChange(
  store: ApiStore,
  pending: PendingNodes,
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
  throw new FleetError('ambiguous', `${which} fits more than one that waits for approval: ${codes}`, {
    hint: 'Use the code of the one that is meant; see fleet nodes pending.',
  });
}

function nodeDetails({ name, id, publicKey }: NodeRecord): ActDetails {
  return { node: name, id, key: formatFingerprint(sshPublicKeyBlob(publicKey)) };
}
