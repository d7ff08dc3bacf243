/** Somebody in the middle who sees the beginning of an SSH connection, and delays or alters each side's first list of algorithms. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Tampering {
  /** Gives what becomes of the client's list, a whole packet; `serverList` comes only if the server does not wait for the client's. */
  clientList?: (list: Buffer, serverList: Promise<Buffer>) => Buffer | Promise<Buffer>;
  serverList?: (list: Buffer) => Buffer;
  /** By how much the identification lines of both sides are late, ms. */
  lineDelayMs?: number;
}

export interface TamperingProxy {
  port: number;
  close(): void;
}

/** For {@link Tampering.clientList}: what a client sees that waits for the server's list. */
export async function afterServerList(list: Buffer, serverList: Promise<Buffer>): Promise<Buffer> {
  await serverList;
  return list;
}

export async function startTamperingProxy(target: number, tampering: Tampering): Promise<TamperingProxy> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const gateway = connect({ host: '127.0.0.1', port: target, noDelay: true });
    for (const socket of [client, gateway]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    // What was said before still arrives.
    client.once('close', () => gateway.end());
    gateway.once('close', () => client.end());
    const { promise: serverList, resolve } = Promise.withResolvers<Buffer>();
    const { clientList = (list) => list, serverList: alter = (list) => list, lineDelayMs = 0 } = tampering;
    void relay(client, gateway, lineDelayMs, (list) => clientList(list, serverList));
    void relay(gateway, client, lineDelayMs, (list) => {
      resolve(list);
      return alter(list);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port, close };
}

/** The line as it is, the first packet as `alter` has it, and then everything. */
async function relay(
  from: Socket,
  to: Socket,
  lineDelayMs: number,
  alter: (list: Buffer) => Buffer | Promise<Buffer>,
): Promise<void> {
  let head: Buffer = Buffer.alloc(0);
  const take = async (length: () => number): Promise<Buffer> => {
    while (length() === 0 || head.length < length()) {
      const [chunk] = (await once(from, 'data')) as [Buffer];
      head = Buffer.concat([head, chunk]);
    }
    // What comes while nobody listens would be lost.
    from.pause();
    const part = head.subarray(0, length());
    head = head.subarray(part.length);
    return part;
  };
  try {
    const line = await take(() => head.indexOf('\n') + 1);
    await sleep(lineDelayMs);
    to.write(line);
    from.resume();
    to.write(await alter(await take(() => (head.length < 4 ? 0 : 4 + head.readUInt32BE()))));
    to.write(head);
    from.pipe(to);
  } catch {
    // Closed before it had said so much.
  }
}
