/** Which gateway a command talks to: the one named, else this home's own, else the one this home is logged in to. */

import { existsSync, readFileSync } from 'node:fs';
import { GatewayClient } from '../../client/gateway-client.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { gatewayPaths, personPaths } from '../../shared/home.ts';
import { trimPasted } from '../../shared/text.ts';
import type { CliContext } from './context.ts';

/** The remote gateway, as typed or remembered; undefined for this home's own. */
export function chooseRemote({ home, gateway, env }: Pick<CliContext, 'home' | 'gateway' | 'env'>): string | undefined {
  const named = gateway ?? (trimPasted(env.FLEET_GATEWAY ?? '') || undefined);
  if (named !== undefined) return named;
  // A home with its own gateway uses that one, running or not.
  if (existsSync(gatewayPaths(home).folder)) return undefined;
  const file = personPaths(home).defaultGateway;
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new FleetError('storage_failed', `cannot read ${file}: ${systemErrorCode(error) ?? error}`, { cause: error });
  }
}

/** A client of this home's own gateway, for commands that only make sense there. @throws FleetError `usage` if another one is named. */
export function openOwnGateway(context: CliContext, command: string): GatewayClient {
  assertOwnGateway(context, command);
  return clientOfHome(context);
}

/** Ignores FLEET_GATEWAY, which is not aimed at any one command. @throws FleetError `usage`. */
export function assertOwnGateway({ gateway }: CliContext, command: string): void {
  if (gateway === undefined) return;
  throw new FleetError('usage', `fleet ${command} controls the gateway of this home, not ${gateway}`, {
    hint: "Run it on the gateway's machine, without --gateway.",
  });
}

/** A client of the chosen gateway: a remote one, or this home's own. */
export function openGateway(context: CliContext): GatewayClient {
  const remote = chooseRemote(context);
  if (remote === undefined) return clientOfHome(context);
  return new GatewayClient({ connect: () => context.openRemote(remote), time: context.clock });
}

function clientOfHome({ home, clock }: CliContext): GatewayClient {
  return new GatewayClient({ socketPath: gatewayPaths(home).socket, time: clock });
}
