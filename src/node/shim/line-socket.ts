/** Lines of JSON over a socket, both ways. */
import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';

/** Calls `take` with each line's value, in order. A line that is no JSON ends the connection: the other side is not who it should be. */
export function readLines(socket: Socket, take: (value: unknown) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
        return;
      }
      take(value);
      if (socket.destroyed) return;
    }
  });
}

export function writeLine(socket: Socket, value: object): void {
  writeLines(socket, [value]);
}

/** With one system call. */
export function writeLines(socket: Socket, values: readonly object[]): void {
  if (!socket.destroyed) socket.write(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
}
