/** The SSH clients that people have, against a gateway's port, each with a key of its own in a folder of its own. */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { newKeyText, within } from './fixtures.ts';

/** For a machine that is ten times slower than most. */
const EXIT_MS = 30_000;

export class StockClients {
  readonly #home = mkdtempSync(path.join(tmpdir(), 'fleet-stock-ssh-'));
  readonly #children: ChildProcessWithoutNullStreams[] = [];

  /** OpenSSH's `ssh -p PORT ARGS anybody@127.0.0.1`, with no configuration of this machine. */
  ssh(port: number, ...args: string[]): ChildProcessWithoutNullStreams {
    const identity = path.join(this.#home, 'id_ed25519');
    if (!existsSync(identity)) writeFileSync(identity, newKeyText(), { mode: 0o600 });
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'BatchMode=yes'];
    const flags = options.flatMap((option) => ['-o', option]);
    return this.#run('ssh', ['-F', 'none', '-i', identity, '-p', String(port), ...flags, ...args, 'anybody@127.0.0.1']);
  }

  /** dropbear's `dbclient -p PORT ARGS anybody@127.0.0.1`. */
  dbclient(port: number, ...args: string[]): ChildProcessWithoutNullStreams {
    const key = path.join(this.#home, 'dropbear_key');
    if (!existsSync(key)) {
      const made = spawnSync('dropbearkey', ['-t', 'ed25519', '-f', key]);
      assert.equal(made.error, undefined, 'this test needs dropbear’s dbclient: apt-get install dropbear-bin');
      assert.equal(made.status, 0, String(made.stderr));
    }
    return this.#run('dbclient', ['-y', '-y', '-i', key, '-p', String(port), ...args, 'anybody@127.0.0.1']);
  }

  /** Ends what still runs. */
  stop(): void {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    }
  }

  /** {@link stop}, and nothing is left. */
  close(): void {
    this.stop();
    rmSync(this.#home, { recursive: true, force: true });
  }

  #run(command: string, args: string[]): ChildProcessWithoutNullStreams {
    const child = spawn(command, args, { env: { ...process.env, HOME: this.#home }, stdio: 'pipe' });
    // One that refuses leaves its stdin unread.
    child.stdin.on('error', () => {});
    this.#children.push(child);
    return child;
  }
}

/** Resolves when it has exited. */
export async function outputOf(
  child: ChildProcessWithoutNullStreams,
): Promise<{ code: number; out: Buffer; err: string }> {
  const out: Buffer[] = [];
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk;
  });
  const [code] = await within(EXIT_MS, once(child, 'close'), 'the client exits');
  return { code: code as number, out: Buffer.concat(out), err };
}
