/** A node started in every odd way there is: its commands must not be able to tell. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, until } from '../support/fleet-processes.ts';

/** All that a session hands down to a process, but for what names this very run. */
const PROBE = [
  "env | grep -v '^FLEET_\\(NODE\\|JOB\\|RUN\\)=' | sort",
  'pwd; umask; nice; ulimit -S -a; ps -o tty= -p $$',
  "grep -E '^(Sig(Ign|Blk)|Cpus_allowed_list|NoNewPrivs)' /proc/self/status",
  "cut -d' ' -f41 /proc/$$/stat; ionice -p $$; ls /proc/$$/fd",
].join('; ');

const LEFT_BEHIND = {
  SSH_AUTH_SOCK: '/tmp/agent',
  SSH_CLIENT: '192.0.2.1 50000 22',
  SSH_CONNECTION: '192.0.2.1 50000 192.0.2.2 22',
  SSH_TTY: '/dev/pts/9',
  TMUX: '/tmp/tmux-0/default,1,0',
  TMUX_PANE: '%1',
  STY: '1.screen',
  DISPLAY: ':0',
  WAYLAND_DISPLAY: 'wayland-0',
  DBUS_SESSION_BUS_ADDRESS: 'unix:path=/tmp/bus',
  NODE_OPTIONS: '--no-deprecation',
  NODE_ENV: 'production',
  npm_config_registry: 'http://localhost/',
  VIRTUAL_ENV: '/opt/venv',
  CONDA_PREFIX: '/opt/conda',
  XDG_SESSION_ID: '7',
  XDG_RUNTIME_DIR: '/tmp/runtime',
  TERM: 'xterm-256color',
  COLORTERM: 'truecolor',
  LS_COLORS: 'di=1',
  LC_ALL: 'de_DE.UTF-8',
  LANG: 'de_DE.UTF-8',
  LANGUAGE: 'de',
  TZ: 'Asia/Tokyo',
  OLDPWD: '/srv',
  SHLVL: '9',
  SUDO_USER: 'eve',
  SUDO_COMMAND: '/bin/sh',
  BASH_ENV: '/tmp/evil',
  ENV: '/tmp/evil',
  PYTHONPATH: '/tmp/evil',
  LD_LIBRARY_PATH: '/tmp/evil',
  TMPDIR: '/tmp/mine',
  EDITOR: 'ed',
  INVOCATION_ID: '0123',
  NOTIFY_SOCKET: '/run/systemd/notify',
  LISTEN_FDS: '0',
  MY_OWN: 'x',
};
const POLLUTED = ['env', ...Object.entries(LEFT_BEHIND).map(([name, value]) => `${name}=${value}`)];

describe('what a command gets from its node', { timeout: 300_000 }, () => {
  let world: FleetWorld;

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    const node = await world.startNode('node-1');
    node.child.kill('SIGTERM');
    await node.exited;
  });

  after(() => world.close());

  const probe = async (): Promise<string> => {
    const { code, text, stderr } = await world.fleet(['run', '--expires', '1m', 'node-1', PROBE]);
    assert.equal(code, 0, stderr);
    return text;
  };

  const probeThrough = async (through: readonly string[]): Promise<string> => {
    const node = await world.startThrough(through, 'node-1');
    const text = await probe();
    node.child.kill('SIGTERM');
    await node.exited;
    return text;
  };

  it('is what a login gives, whoever started the node and how', async () => {
    const expected = await probeThrough([]);
    const lines = expected.split('\n');
    const [user, home, shell] = (await readFile('/etc/passwd', 'utf8'))
      .split('\n')
      .map((line) => line.split(':'))
      .filter((fields) => fields[2] === String(process.getuid?.()))
      .map((fields) => [fields[0], fields[5], fields[6]])[0] ?? ['', '', ''];
    for (const line of [`HOME=${home}`, `USER=${user}`, `LOGNAME=${user}`, `SHELL=${shell}`, '0022', '0', '?']) {
      assert.ok(lines.includes(line), `${line} in ${expected}`);
    }
    assert.match(expected, /^PATH=.*\/usr\/bin/m);
    assert.match(expected, /^open files .* 1024$/m);
    for (const name of Object.keys(LEFT_BEHIND)) {
      if (!['LANG', 'XDG_RUNTIME_DIR', 'SHLVL', 'TMPDIR'].includes(name)) {
        assert.ok(!lines.some((line) => line.startsWith(`${name}=`)), `${name} in ${expected}`);
      }
    }
    const shellLine = (line: string): string[] => ['sh', '-c', `${line}; exec "$@"`, 'sh'];
    const starters: Record<string, readonly string[]> = {
      'a session full of variables': POLLUTED,
      'almost nothing, as from cron': ['env', '-i', `PATH=/usr/bin:/bin`, `FLEET_HOME=${world.nodeHome('node-1')}`],
      'another home and user': ['env', 'HOME=/nonexistent', 'USER=eve', 'LOGNAME=eve', 'SHELL=/bin/false'],
      'a foreign PATH': ['env', 'PATH=/opt/odd'],
      'an empty PATH': ['env', 'PATH='],
      'a narrow umask': shellLine('umask 077'),
      'an open umask': shellLine('umask 0'),
      'another folder': shellLine('cd /var/tmp'),
      'a polite session': ['nice', '-n', '7'],
      'an idle disk class': ['ionice', '-c', '3'],
      'one processor': ['taskset', '-c', '0'],
      'batch scheduling': ['chrt', '--batch', '0'],
      'low soft limits': shellLine(
        'ulimit -S -n 256; ulimit -S -c 0; ulimit -S -s 1024; ulimit -S -u 4000; ulimit -S -f 99999999',
      ),
      'high soft limits': shellLine('ulimit -S -c unlimited; ulimit -S -s unlimited'),
      'a shell that ignores signals': shellLine('trap "" INT QUIT PIPE USR1 USR2 CHLD'),
      nohup: ['nohup'],
      'open files left behind': ['bash', '-c', 'exec 5</etc/passwd 77</etc/passwd; exec "$@"', 'sh'],
      'a new session': ['setsid', '-w'],
    };
    for (const [name, through] of Object.entries(starters)) {
      assert.equal(await probeThrough(through), expected, name);
    }
    const nodeHome = world.nodeHome('node-1');
    const terminal = ['sh', '-c', 'exec script -qefc "$*" /dev/null', 'sh'];
    const detached: Record<string, readonly string[]> = {
      'the background': [],
      'the background of a terminal': [...POLLUTED, ...terminal],
      'tmux, in its background': [...POLLUTED, 'tmux', '-L', path.basename(world.folder), 'new-session', '-d'],
    };
    for (const [name, through] of Object.entries(detached)) {
      const up = world.spawn(['--home', nodeHome, 'node', 'up', '--detach'], { through });
      await up.exited;
      assert.equal(await probe(), expected, name);
      assert.equal((await world.fleet(['node', 'down'], { home: nodeHome })).code, 0);
    }
  });

  it('is what the commands of alerts get from the gateway, too', async () => {
    const other = await FleetWorld.create();
    try {
      const seen = path.join(other.folder, 'seen');
      const script = `(${PROBE}) | grep -v '^FLEET_ALERT_' > ${seen}.part; mv ${seen}.part ${seen}`;
      const receiver = { name: 'ops', kind: 'command', command: ['/bin/sh', '-c', script] };
      await mkdir(other.home, { mode: 0o700 });
      const config = JSON.stringify({ gateway: { alerts: { notify: [receiver] } } });
      await writeFile(path.join(other.home, 'config.yaml'), config, { mode: 0o600 });
      const odd = ['bash', '-c', 'umask 077; cd /var/tmp; exec 77</etc/passwd; exec "$@"', 'sh'];
      const up = ['gateway', 'up', '--listen', '127.0.0.1:0'];
      const gateway = other.spawn(up, {
        through: [...POLLUTED, `FLEET_HOME=${other.home}`, 'nice', '-n', '5', ...odd],
      });
      await until(() => gateway.stdout().includes('\n'), 'the gateway');
      assert.equal((await other.fleet(['alerts', 'test'])).code, 0);
      const lines = (await readFile(seen, 'utf8')).split('\n');
      for (const name of Object.keys(LEFT_BEHIND)) {
        if (['LANG', 'XDG_RUNTIME_DIR', 'SHLVL'].includes(name)) continue;
        assert.ok(!lines.some((line) => line.startsWith(`${name}=`)), name);
      }
      const { homedir } = userInfo();
      for (const line of [`HOME=${homedir}`, homedir, '0022', '0', '?'])
        assert.ok(lines.includes(line), `${line} in ${lines.join('\n')}`);
      assert.ok(!lines.includes('77'), 'no open file');
    } finally {
      await other.close();
    }
  });
});
