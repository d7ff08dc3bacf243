/** The public port in a process of its own, to be attacked: it echoes on one destination, and talks to everybody who offers a forward. */
import type { Duplex } from 'node:stream';
import { PublicPort } from '../../../src/gateway/ssh/public-port.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import type { PeerAccess } from '../../../src/shared/ssh/server/peers.ts';
import type { SshPeer } from '../../../src/shared/ssh/server/ssh-session.ts';
import { newKeyText } from '../../gateway/ssh/fixtures.ts';
import { watchSelf } from './self-watch.ts';

const server = new PublicPort({
  hostKey: newKeyText(),
  clock: systemClock,
  logger: silentLogger,
  // The attacker sits on one address, and comes more often than any node.
  limits: { maxUnauthenticatedPerAddress: 256 },
  onPeer: (peer): PeerAccess => ({
    maxChannels: 64,
    direct: ({ host }) => (host === 'echo' ? echo : undefined),
    forward: ({ host, port }) => {
      setImmediate(greet, peer, host, port);
      return true;
    },
  }),
});

function echo(channel: Duplex): void {
  channel.pipe(channel);
}

function greet(peer: SshPeer, host: string, port: number): void {
  peer.openForwarded(host, port).then(
    (channel) => channel.end('hello'),
    () => {},
  );
}

const { port } = await server.listen('127.0.0.1', 0);
watchSelf(() => ({ stats: server.stats }));
process.send?.(port);
