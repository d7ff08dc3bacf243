/** Tells the alerts of nodes whose token was refused: such a node keeps its tunnel, and nothing that it says is heard. */

import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { App } from '../../shared/http/fastify-app.ts';
import type { NodeSignals } from '../monitoring/alerts/node-signals.ts';
import type { Origins } from './caller.ts';
import type { ApiStore } from './find.ts';

export interface TokenRefusalOptions {
  store: Pick<ApiStore, 'nodes'>;
  origins: Origins;
  clock: Clock;
  signals: Pick<NodeSignals, 'tokenRefused'>;
}

/** Call before routes are added. */
export function noteTokenRefusals(app: App, { store, origins, clock, signals }: TokenRefusalOptions): void {
  app.addHook('onError', async (request, _reply, error) => {
    if (!(error instanceof FleetError) || error.code !== 'token_invalid') return;
    const origin = origins.get(request.raw.socket);
    if (origin?.kind !== 'ssh') return;
    const node = store.nodes.byPublicKey(origin.peer.publicKey);
    if (node !== undefined) signals.tokenRefused(node.id, clock.now());
  });
}
