/** One whole attempt: connect, start the heartbeats, and ask to be let in again if the gateway has forgotten this node. */
import type { Heartbeat } from '../../protocol/heartbeat.ts';
import type { InviteCode } from '../../protocol/pairing.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { type ConnectOptions, type Pending, renewToken } from './connect-once.ts';
import type { GatewayClient } from './gateway-client.ts';
import { Heartbeats } from './heartbeats.ts';
import type { KeyedConnector, NodeKeys } from './keyed-connector.ts';
import type { UsableTunnel } from './tunnel.ts';

type Connect = Omit<ConnectOptions, 'identity'>;

interface AttemptOptions extends Omit<Connect, 'invite' | 'signal'> {
  keys: NodeKeys;
  connector: KeyedConnector;
  /** Reads the machine; `lostKeepalives` since the previous heartbeat. */
  sample(rttMs: number | null, lostKeepalives: number): Promise<Heartbeat>;
  onRoundTrip(rttMs: number): void;
}

export class Attempts {
  /** Until the node has been online: a code with several uses must not bring a removed node back. */
  invite: InviteCode | undefined;
  readonly #options: AttemptOptions;
  #renewing: Promise<void> | undefined;

  constructor(invite: InviteCode | undefined, options: AttemptOptions) {
    this.invite = invite;
    this.#options = options;
  }

  /**
   * A gateway that proves the pinned host key and does not know this node has lost its database, or restored an old one: the node asks
   * until it is known or approved. If the gateway says that the key was removed, the node asks only with a new code.
   */
  async run(signal: AbortSignal): Promise<UsableTunnel | Pending> {
    const { state, nameRequired, name } = this.#options;
    const options: Connect = { ...this.#options, invite: this.invite, signal };
    try {
      return await this.#open(options);
    } catch (error) {
      const { code } = toFleetError(error);
      const mayAsk = code === 'not_paired' || (code === 'key_revoked' && this.invite !== undefined);
      const { pairing } = state.current ?? {};
      if (!mayAsk || pairing === undefined) throw error;
      // Under its former name, which may differ from the machine's.
      const opened = await this.#open({ ...options, name: nameRequired ? name : pairing.name, pairAgain: true });
      if (!('pendingCode' in opened)) return opened;
      const forgotten = 'the gateway no longer knows this node: its database was lost or replaced';
      const hint =
        "The node keeps asking. Restore the gateway's database, or let the node in again there: fleet nodes pending";
      return { ...opened, forgotten: new FleetError('not_paired', forgotten, { hint }) };
    }
  }

  async #open(options: Connect): Promise<UsableTunnel | Pending> {
    const { connector, clock, logger, state, sample, onRoundTrip } = this.#options;
    const opened = await connector.connect(options);
    if ('pendingCode' in opened) return opened;
    const heartbeats = new Heartbeats({
      tunnel: opened,
      clock,
      logger,
      sample,
      beforeBeat: () => this.#renewInTime(options, opened.client),
      onAnswer: ({ name, rttMs, signingKeys }) => {
        onRoundTrip(rttMs);
        // An operator may rename the node while it is connected.
        if (state.current?.pairing?.name !== name) state.changePairing({ name }, logger);
        if (signingKeys !== undefined) state.changePairing({ signingKeys }, logger);
      },
    });
    const stop = (): void => {
      heartbeats.close();
      opened.client.close();
    };
    try {
      await heartbeats.start();
    } catch (error) {
      stop();
      throw error;
    }
    return { ...opened, stop, check: () => heartbeats.check() };
  }

  /** Renews the token once half of its lifetime has passed. */
  async #renewInTime(options: Connect, client: GatewayClient): Promise<void> {
    const { state, gatewayClock, keys } = this.#options;
    const pairing = state.current?.pairing;
    if (pairing === undefined || gatewayClock.now() < (pairing.tokenIssuedAt + pairing.tokenExpiresAt) / 2) return;
    // A nudge adds a heartbeat to the regular one; the gateway allows few challenges at once.
    this.#renewing ??= renewToken({ ...options, identity: keys.current }, client).finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }
}
