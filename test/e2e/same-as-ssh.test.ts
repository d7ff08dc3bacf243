/** The words behind `fleet run NODE` mean what they mean behind `ssh HOST`: every odd form, held against a stock OpenSSH server. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { type StockSshd, startStockSshd } from '../../scripts/bench.d/stock-sshd.ts';
import { FleetWorld } from '../support/fleet-processes.ts';

interface Seen {
  stdout: string;
  stderr: string;
  code: number | null;
}

describe('fleet run and ssh', { timeout: 300_000 }, () => {
  let world: FleetWorld;
  let sshd: StockSshd;

  before(async () => {
    world = await FleetWorld.create();
    const folder = path.join(world.folder, 'sshd');
    await mkdir(folder, { mode: 0o700 });
    sshd = await startStockSshd(folder);
    await world.startGateway();
    await world.startNode('node-1');
  });

  after(async () => {
    sshd?.stop();
    await world.close();
  });

  async function overSsh(words: readonly string[]): Promise<Seen> {
    const child = spawn('ssh', [...sshd.clientArgs, '--', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    const [stdout, stderr, [code]] = await Promise.all([
      buffer(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ]);
    return { stdout: stdout.toString('latin1'), stderr, code: code as number | null };
  }

  async function overFleet(words: readonly string[]): Promise<Seen> {
    const { stdout, stderr, code } = await world.fleet(['run', 'node-1', '--', ...words], { stdin: 'closed' });
    // sshd calls the shell by its name only, and a shell calls itself so in its errors.
    const shell = userInfo().shell ?? '';
    const named = stderr.replaceAll(shell, path.basename(shell));
    return { stdout: stdout.toString('latin1'), stderr: named, code };
  }

  it('give the shell the same line, byte for byte, and show the same of what it does', async () => {
    const show = "printf '<%s>'";
    const table: string[][] = [
      ['echo', 'a', 'b'],
      ['echo a  b'],
      ['echo', 'a  b'],
      ['echo', "'a  b'"],
      ['echo', '"$HOME"', '~', '$((1+1))'],
      ['echo', "it's"],
      ["echo 'it'\\''s'"],
      ['echo', ''],
      [show, '', "''", ''],
      ['', 'echo', 'x'],
      [' echo x '],
      ['\techo x'],
      ['echo a\necho b'],
      ['echo', 'a\n', 'echo', 'b'],
      ['\n\necho x\n\n'],
      ['echo a\r'],
      [show, '--', '-n'],
      ['--', 'echo'],
      ['-n'],
      ['echo', '-n', '--json', '--timeout', '1s', '-h'],
      ['echo', '--', '--help'],
      ['printf', '%s\\n', '*', '?'],
      ['echo', '\\'],
      ['echo \\\nb'],
      ['echo', '#', 'x'],
      ['# nothing'],
      [':'],
      ['true;'],
      [';'],
      ['echo', 'a;', 'exit', '3'],
      ['echo a & wait'],
      ['false', '||', 'echo', 'b'],
      ['echo', '>&2', 'x'],
      ['echo', '`echo', 'x`', '$(echo y)'],
      ['cat <<E\na b\nE'],
      ['cat', '<<E\n$HOME', '\nE'],
      ["printf '\\351\\000\\377'"],
      ['echo', 'caf\u00e9', '\u{1f600}', '\u202e', '\ufeff', '\ufffd', 'e\u0301'],
      ['echo', '\u0001\u001b[31m\u007f'],
      ['echo', 'x'.repeat(100_000)],
      [show, ...Array.from({ length: 1000 }, (_, index) => String(index))],
      [show, ...Array.from({ length: 1000 }, () => '')],
      ['no-such-command-at-all'],
      ['/etc/passwd'],
      ['exit', '255'],
      ['exit 300'],
      ['echo $(basename "$0") $# $@'],
      ['echo', '"unfinished'],
      ['if'],
      ['A=1', 'B=2', 'env | grep ^[AB]='],
      ['pwd; echo $PWD; echo $- | tr -d s; id -u; umask'],
      ['cat; echo done'],
      ['test -t 0 || test -t 1 || echo no terminal'],
      ['set -- a b; echo $1 $2'],
    ];
    for (const words of table) {
      const [ssh, fleet] = await Promise.all([overSsh(words), overFleet(words)]);
      assert.deepEqual(fleet, ssh, JSON.stringify(words).slice(0, 200));
    }
  });

  it('give it the same environment, but for what names the connection', async () => {
    const variables = (lines: string): Record<string, string> =>
      Object.fromEntries(lines.split('\n').flatMap((line) => (line.includes('=') ? [line.split(/=(.*)/s)] : [])));
    const [ssh, fleet] = await Promise.all([overSsh(['env']), overFleet(['env'])]);
    const [there, here] = [variables(ssh.stdout), variables(fleet.stdout)];
    for (const name of ['HOME', 'USER', 'LOGNAME', 'SHELL', 'PWD', 'LANG', 'LC_ALL', 'TZ', 'TERM', 'ENV'])
      assert.equal(here[name], there[name], name);
    const own = Object.keys(here).filter(
      (name) => !(name in there) && !/^(FLEET_(NODE|JOB|RUN)|LVM_SUPPRESS_FD_WARNINGS)$/.test(name),
    );
    assert.deepEqual(own, []);
  });
});
