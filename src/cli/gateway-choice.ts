/** Which gateway a command means: the one that is named, else that of this home, else where this home has logged in. */
import { existsSync, readFileSync } from 'node:fs';
import { GatewayClient } from '../client/gateway-client.ts';
import type { GatewayTransport } from '../client/gateway-transport.ts';
import { FleetError, systemErrorCode } from '../shared/errors.ts';
import { gatewayPaths, personPaths } from '../shared/home.ts';
import { trimPasted } from '../shared/pasted.ts';
import type { CliContext } from './context.ts';

/** The remote gateway that is meant, as it was typed or remembered; undefined for that of this home. */
export function chooseRemote({ home, gateway, env }: Pick<CliContext, 'home' | 'gateway' | 'env'>): string | undefined {
  const named = gateway ?? (trimPasted(env.FLEET_GATEWAY ?? '') || undefined);
  if (named !== undefined) return named;
  // A home with a gateway of its own means that one, whether it runs or not.
  if (existsSync(gatewayPaths(home).folder)) return undefined;
  const file = personPaths(home).defaultGateway;
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new FleetError('storage_failed', `cannot read ${file}: ${systemErrorCode(error) ?? error}`, { cause: error });
  }
}

/** A client of the gateway of this home, for what has no meaning elsewhere. @throws FleetError `usage` when another one is named. */
export function openOwnGateway(context: CliContext, command: string): GatewayClient {
  assertOwnGateway(context, command);
  return new GatewayClient({ socketPath: gatewayPaths(context.home).socket });
}

/** FLEET_GATEWAY does not count: it is there for all commands, and so for none in particular. @throws FleetError `usage`. */
export function assertOwnGateway({ gateway }: CliContext, command: string): void {
  if (gateway === undefined) return;
  throw new FleetError('usage', `fleet ${command} is for the gateway of this home, not for ${gateway}`, {
    hint: 'Run it on the machine of the gateway, without --gateway.',
  });
}

/** The ways to remote gateways that this process has opened, each one connection however many clients use it. */
export class Remotes {
  readonly #openRemote: (gateway: string) => Promise<GatewayTransport>;
  readonly #opened = new Map<string, Promise<GatewayTransport>>();

  constructor(openRemote: (gateway: string) => Promise<GatewayTransport>) {
    this.#openRemote = openRemote;
  }

  open(gateway: string): Promise<GatewayTransport> {
    const present = this.#opened.get(gateway) ?? this.#openRemote(gateway);
    this.#opened.set(gateway, present);
    return present;
  }

  close(): void {
    // One that could not be opened was told as the command's error.
    for (const opened of this.#opened.values())
      void opened.then(
        (transport) => transport.close(),
        () => undefined,
      );
    this.#opened.clear();
  }
}
