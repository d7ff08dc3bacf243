/** The other end of liveness.test.ts, in a process of its own so that it can be stopped. */
import { connectPeer, startServer } from './fixtures.ts';

const [role, port] = process.argv.slice(2);

if (role === 'peer') {
  await connectPeer(Number(port));
  process.send?.('connected');
} else {
  const gateway = await startServer({ direct: () => (channel) => void channel.resume() });
  process.send?.(gateway.port);
}
