/** A stock OpenSSH server on a free loopback port, with keys of its own, to measure against. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import path from 'node:path';

export interface StockSshd {
  /** Arguments of `ssh` that reach it, up to and including the host. */
  clientArgs: string[];
  stop(): void;
}

/** Its keys go into `folder`, which must exist. StrictModes would refuse a folder below /tmp. */
export async function startStockSshd(folder: string): Promise<StockSshd> {
  const file = (name: string): string => path.join(folder, name);
  for (const name of ['host', 'client'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)]);
  writeFileSync(file('authorized_keys'), execFileSync('cat', [file('client.pub')]), { mode: 0o600 });
  // Debian's sshd wants its privilege separation folder, which its service would make.
  mkdirSync('/run/sshd', { recursive: true });
  const port = await freePort();
  const sshd: ChildProcess = spawn(
    '/usr/sbin/sshd',
    ['-D', '-e', '-f', '/dev/null', '-p', String(port), '-h', file('host')].concat(
      [
        'ListenAddress=127.0.0.1',
        `AuthorizedKeysFile=${file('authorized_keys')}`,
        'PidFile=none',
        'UsePAM=yes',
        'StrictModes=no',
      ].flatMap((option) => ['-o', option]),
    ),
    { stdio: 'ignore' },
  );
  await answering(port);
  const options = [
    'StrictHostKeyChecking=no',
    `UserKnownHostsFile=${file('known_hosts')}`,
    'IdentitiesOnly=yes',
    'BatchMode=yes',
    'LogLevel=ERROR',
  ];
  return {
    clientArgs: [
      '-F',
      'none',
      '-p',
      String(port),
      '-i',
      file('client'),
      ...options.flatMap((option) => ['-o', option]),
      `${userInfo().username}@127.0.0.1`,
    ],
    stop: () => void sshd.kill('SIGTERM'),
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function answering(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('error', () => resolve(false));
      socket.once('data', () => {
        socket.destroy();
        resolve(true);
      });
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('sshd does not answer');
}
