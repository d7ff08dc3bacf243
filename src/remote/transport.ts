/** How requests of the command line reach a remote gateway: channels of one SSH connection, made again when it is lost, and a token made again when it is old. */
import type http from 'node:http';
import { GATEWAY_PEER } from '../protocol/gateway-peer.ts';
import { formatAddress } from '../shared/address.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';
import { personPaths } from '../shared/home.ts';
import type { AnsweringPeer } from '../shared/http/request.ts';
import { readPrivateFile } from '../shared/private-file.ts';
import { shellQuote } from '../shared/text.ts';
import { checkHostKey, connect, type GatewayConnection, type GatewayTarget } from './connect.ts';
import { type Login, Logins } from './logins.ts';

interface RemoteTransportOptions {
  home: string;
  target: GatewayTarget;
  clock: Clock;
}

export class RemoteTransport {
  readonly #options: RemoteTransportOptions;
  readonly #logins: Logins;
  readonly #privateKey: string;
  #login: Login;
  #connection: Promise<GatewayConnection> | undefined;
  #renewal: Promise<void> | undefined;

  /** Reads only the home. @throws FleetError `not_paired` without a login to that gateway; `config_invalid`, `home_insecure`. */
  constructor(options: RemoteTransportOptions) {
    const { home, target } = options;
    this.#options = options;
    this.#logins = new Logins(home);
    const login = this.#logins.read(target.address);
    const privateKey = readPrivateFile(personPaths(home).key);
    if (login === undefined || privateKey === undefined) throw notLoggedIn(target);
    this.#login = login;
    this.#privateKey = privateKey;
  }

  /** Connects if there is no connection. @throws FleetError `gateway_unreachable`, `host_key_changed`. */
  async route(): Promise<{ agent: http.Agent; headers: Record<string, string>; peer: AnsweringPeer }> {
    const { agent } = await this.#connect();
    if (isOld(this.#login, this.#options.clock.now())) await this.renew();
    return { agent, headers: { authorization: `Bearer ${this.#login.token}` }, peer: GATEWAY_PEER };
  }

  /** Gets a fresh token. @throws FleetError `key_revoked`, `not_paired`, and what a request throws. */
  renew(): Promise<void> {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  /** Idempotent. */
  close(): void {
    void this.#connection?.then(
      ({ ssh, agent }) => {
        agent.destroy();
        ssh.close();
      },
      () => undefined,
    );
  }

  #connect(): Promise<GatewayConnection> {
    if (this.#connection !== undefined) return this.#connection;
    const { target, clock } = this.#options;
    const connecting = connect({
      target,
      privateKey: this.#privateKey,
      verifyHostKey: (shown) => checkHostKey(shown, this.#login),
      clock,
    });
    this.#connection = connecting;
    const forget = (): void => {
      if (this.#connection === connecting) this.#connection = undefined;
    };
    connecting.then(({ ssh, agent }) => {
      void ssh.closed.then(() => {
        forget();
        agent.destroy();
      });
    }, forget);
    return connecting;
  }

  async #renew(): Promise<void> {
    const { home, target, clock } = this.#options;
    const connection = await this.#connect();
    // Twice a day; not worth loading for every command.
    const [{ handshake }, { loadOrCreateIdentity }] = await Promise.all([
      import('./login.ts'),
      import('../shared/ssh/identity.ts'),
    ]);
    const identity = loadOrCreateIdentity(personPaths(home).key, this.#login.name);
    const { address } = target;
    const { name } = this.#login;
    this.#login = await handshake({
      connection,
      address,
      identity,
      invite: undefined,
      name,
      nameRequired: false,
      clock,
    });
    this.#logins.save(this.#login);
  }
}

/** In the second half of its life, by this machine's clock; or that was set back, and nothing can be said. */
function isOld({ tokenIssuedAt, tokenExpiresAt, savedAt }: Login, now: number): boolean {
  const ageMs = now - savedAt;
  return ageMs < 0 || ageMs > (tokenExpiresAt - tokenIssuedAt) / 2;
}

function notLoggedIn({ address }: GatewayTarget): FleetError {
  const where = formatAddress(address);
  return new FleetError('not_paired', `you are not logged in to ${where}`, {
    hint: `With a code from \`fleet invite --role operator\`: fleet login ${shellQuote(where)} --code CODE`,
  });
}
