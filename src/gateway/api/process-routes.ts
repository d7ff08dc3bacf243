/** What runs on a node right now, asked of the node itself: it is not part of a heartbeat, and not stored. */
import { type ProcessesView, processesAnswer, processesQuery } from '../../protocol/processes.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { type App, parseInput } from '../../shared/http/fastify-app.ts';
import { requestJson } from '../../shared/http/request.ts';
import { nodePeer } from '../bus/node-client.ts';
import type { Sessions } from '../nodes/sessions.ts';
import { type ApiStore, findNode } from './find.ts';

export interface ProcessRouteOptions {
  store: ApiStore;
  sessions: Pick<Sessions, 'online'>;
}

export function addProcessRoute(app: App, { store, sessions }: ProcessRouteOptions): void {
  app.get(
    '/v1/nodes/:node/processes',
    { config: { action: 'fleet.read' } },
    async (request): Promise<ProcessesView> => {
      const { limit, sort } = parseInput(processesQuery, request.query, 'the query');
      const { id, name } = findNode(store, (request.params as { node: string }).node);
      const session = sessions.online(id);
      if (session === undefined) {
        throw new FleetError('node_offline', `${name} is offline, so it cannot be asked for its processes`, {
          hint: `See since when: fleet nodes show ${name}`,
        });
      }
      const path = `/v1/processes?limit=${limit}&sort=${sort}`;
      const question = { agent: session.agent, method: 'GET', path, peer: nodePeer(name) } as const;
      const { processes } = await requestJson(question, processesAnswer).catch((error: unknown) => {
        const failure = toFleetError(error);
        // The only thing that this request can miss is the route itself.
        throw failure.code === 'not_found' ? tooOld(name, failure) : failure;
      });
      return { node: name, processes };
    },
  );
}

function tooOld(name: string, cause: FleetError): FleetError {
  return new FleetError('protocol_unsupported', `the fleet on ${name} is too old to tell its processes`, {
    hint: `Update fleet there, or look with: fleet run ${name} ps aux`,
    cause,
  });
}
