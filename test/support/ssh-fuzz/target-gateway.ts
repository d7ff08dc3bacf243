/** The public port in a process of its own, to be attacked: it echoes on one destination, and talks to everybody who offers a forward. */
import { startServer } from '../../gateway/ssh/fixtures.ts';
import { watchSelf } from './self-watch.ts';

const gateway = await startServer(
  (peer) => ({
    onDirectTcpip: ({ host }) => (host === 'echo' ? (channel) => void channel.pipe(channel) : undefined),
    onForward: ({ host, port }) => {
      setImmediate(() => {
        peer.openForwarded(host, port).then(
          (channel) => channel.end('hello'),
          () => {},
        );
      });
      return true;
    },
  }),
  // The attacker sits on one address, and comes more often than any node.
  { limits: { maxUnauthenticatedPerAddress: 256 } },
);
watchSelf(() => ({ stats: gateway.server.stats }));
process.send?.(gateway.port);
