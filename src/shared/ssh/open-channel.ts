/** Opening a channel with a deadline: ssh2 never calls back when the connection is dead. */
import { FleetError } from '../errors.ts';
import type { ChannelSocket } from './channel-socket.ts';
import type { GuardedConnection } from './harden-connection.ts';
import type { RawChannel } from './ssh2-internals.ts';

/** ssh2's callback for `forwardOut`, on both ends. */
export type OpenCallback = (error: (Error & { reason?: unknown }) | undefined, channel: RawChannel) => void;

/**
 * A channel that the other side has confirmed, with the life cycle of a socket that was dialled (`allowHalfOpen` false).
 * @param start calls ssh2's function that sends the request
 * @throws FleetError `channel_open_failed` when refused, `timeout` without an answer, `connection_lost` when the connection
 * is or goes down, `busy` when all channels are taken
 */
export function openChannel(
  connection: GuardedConnection,
  start: (callback: OpenCallback) => void,
): Promise<ChannelSocket> {
  return new Promise((resolve, reject) => {
    if (!connection.isOpen) return reject(lost());
    if (!connection.hasRoom) return reject(new FleetError('busy', 'all channels of the SSH connection are in use'));

    let settled = false;
    const settle = (act: () => void): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      act();
    };
    const { openTimeoutMs } = connection.limits;
    const timer = connection.clock.after(openTimeoutMs, () => settle(() => reject(silent(openTimeoutMs))));

    // Also called, with an error, when the connection ends before the answer.
    const onAnswer: OpenCallback = (error, raw) => {
      if (error) return settle(() => reject(connection.isOpen ? refused(error) : lost()));
      const channel = connection.adopt(raw, false);
      // Nobody waits for it any more.
      if (settled) channel.destroy();
      else settle(() => resolve(channel));
    };
    try {
      start(onAnswer);
    } catch (cause) {
      settle(() => reject(lost(cause)));
    }
  });
}

function lost(cause?: unknown): FleetError {
  return new FleetError('connection_lost', 'the SSH connection is down', { cause });
}

function silent(openTimeoutMs: number): FleetError {
  return new FleetError('timeout', `no answer to a channel open within ${openTimeoutMs / 1000} s`);
}

function refused(cause: Error & { reason?: unknown }): FleetError {
  const facts = { reason: cause.reason };
  return new FleetError('channel_open_failed', 'the other side refused the channel', { cause, facts });
}
