/** The dialling end in a process of its own, to be attacked by a gateway: it connects again and again, offers its forward, and uses channels. */
import { connectPeer } from '../../gateway/ssh/fixtures.ts';
import { watchSelf } from './self-watch.ts';

/** A gateway that plays dead is left after this time, ms. */
const STAY_MS = 300;
const AT_ONCE = 16;

const port = Number(process.argv[2]);
const facts = { attempts: 0, connected: 0 };
watchSelf(() => facts);
process.send?.('dialling');
await Promise.all(Array.from({ length: AT_ONCE }, dialForEver));

async function dialForEver(): Promise<never> {
  for (;;) await dialOnce();
}

/** Failing is what most attempts do; only a crash or a hang would be wrong. */
async function dialOnce(): Promise<void> {
  facts.attempts += 1;
  try {
    const node = await connectPeer(port, { connectTimeoutMs: STAY_MS * 5 });
    facts.connected += 1;
    const leave = setTimeout(() => node.close(), STAY_MS);
    node.forward('fleet-node', 1, (channel) => void channel.pipe(channel)).catch(() => {});
    node.openDirect('fleet-gateway', 1).then(
      (channel) => channel.end('hello').resume(),
      () => {},
    );
    await node.closed;
    clearTimeout(leave);
  } catch {
    // Counted by the difference of attempts and connected.
  }
}
