import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { FleetWorld, until } from '../support/fleet-processes.ts';

const FLEET = path.resolve(import.meta.dirname, '../../scripts/fleet');
/** A busy machine may take long to start a process, ms. */
const PATIENCE_MS = 60_000;

let world: FleetWorld;
before(async () => {
  world = await FleetWorld.create();
  await world.startGateway();
  await world.startNode('web-1');
});
after(() => world.close());

/** `fleet top` in a terminal of its own, made by script(1). */
class Terminal {
  readonly child: ChildProcess;
  readonly #stdin: NodeJS.WritableStream;
  #said = '';
  readonly exited: Promise<void>;

  /** `after` are the shell's commands once `fleet top` has ended or stopped. */
  constructor(columns: number, rows: number, before = '', after = '') {
    const top = `sh -c 'echo pid=$$; exec "$FLEET" top -d 200ms'`;
    const inside = `${before} tty; stty cols ${columns} rows ${rows}; ${top}; ${after} echo code=$?; stty -a`;
    const { PATH, HOME } = process.env;
    const env = { PATH, HOME, FLEET, FLEET_HOME: world.home, TERM: 'xterm', LANG: 'C.UTF-8', NO_COLOR: '1' };
    this.child = spawn('script', ['-qfc', inside, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.child.stdin === null) throw new Error('script has no stdin');
    this.#stdin = this.child.stdin;
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#said += chunk;
    });
    this.exited = new Promise((resolve) => this.child.once('close', () => resolve()));
  }

  type(keys: string): void {
    this.#stdin.write(keys);
  }

  get said(): string {
    return this.#said;
  }

  /** What stands on the screen now. */
  get frame(): string {
    const frame = this.#said.split('\u001b[H').at(-1) ?? '';
    return frame.replaceAll('\u001b[K', '').replaceAll('\u001b[J', '').replace(/\r+\n/g, '\n');
  }

  async shows(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.frame), String(pattern), PATIENCE_MS).catch(() => {
      assert.match(this.frame, pattern);
    });
  }

  /** What follows the word, such as `pid=`. */
  word(pattern: RegExp): string {
    return pattern.exec(this.#said)?.[1] ?? assert.fail(`${pattern} in ${this.#said}`);
  }

  /** The exit code, once the terminal was left as it had been found. */
  async end(): Promise<string> {
    await until(() => /code=\d+[\s\S]*lnext/.test(this.#said), 'the end of fleet top', PATIENCE_MS);
    assert.ok(this.#said.includes('\u001b[?25h\u001b[?1049l'));
    assert.match(this.#said.slice(this.#said.lastIndexOf('code=')), /(?<!-)icanon[\s\S]*(?<!-)echo /);
    await this.exited;
    return this.word(/code=(\d+)/);
  }
}

test('in a real terminal: keys, another size, a gateway that goes and comes back, and the terminal as it was', {
  timeout: 170_000,
}, async (t) => {
  const terminal = new Terminal(90, 12);
  t.after(() => terminal.child.kill('SIGKILL'));
  await terminal.shows(/web-1 +(online|limited).*\n[\s\S]*q quit/);
  terminal.type('?');
  await terminal.shows(/Press any key to go back/);
  terminal.type('x/nobody\r');
  await terminal.shows(/filter: nobody/);
  assert.doesNotMatch(terminal.frame, /web-1/);
  terminal.type('\u001b');
  await terminal.shows(/web-1/);

  const resized = spawn('stty', ['-F', terminal.word(/(\/dev\/pts\/\d+)/), 'cols', '20', 'rows', '6']);
  await new Promise((resolve) => resized.once('close', resolve));
  await terminal.shows(/NAME +STATUS▼?\n/);
  for (const line of terminal.frame.split('\n')) assert.ok(line.length <= 20, line);

  world.gateway?.child.kill('SIGTERM');
  await terminal.shows(/gateway lost/);
  await world.startGateway();
  await terminal.shows(/fleet top/);
  terminal.type('q');
  assert.equal(await terminal.end(), '0');
});

/** 128 and SIGTSTP, the terminal's modes, and a wait for a line. */
const WHEN_STOPPED = 'echo stopped=$?; stty -a; read go; fg; ';
const stops: Record<string, (terminal: Terminal) => void> = {
  'Ctrl-Z': (terminal) => terminal.type('\u001a'),
  SIGTSTP: (terminal) => void process.kill(Number(terminal.word(/pid=(\d+)/)), 'SIGTSTP'),
};
for (const [name, stop] of Object.entries(stops)) {
  test(`${name} gives the terminal back and stops, fg goes on`, { timeout: 120_000 }, async (t) => {
    const terminal = new Terminal(80, 10, 'set -m;', `${WHEN_STOPPED} ${WHEN_STOPPED}`);
    t.after(() => terminal.child.kill('SIGKILL'));
    let seen = 0;
    const entered = (): Promise<void> =>
      until(() => /\?1049h[\s\S]*web-1/.test(terminal.said.slice(seen)), 'the other screen', PATIENCE_MS);
    for (let round = 1; round <= 2; round += 1) {
      await entered();
      const before = terminal.said.length;
      stop(terminal);
      await until(() => /stopped=\d+[\s\S]*lnext/.test(terminal.said.slice(before)), 'the shell', PATIENCE_MS);
      const since = terminal.said.slice(before);
      assert.match(since, /stopped=148/);
      assert.match(since, /(?<!-)icanon[\s\S]*(?<!-)echo /);
      assert.ok(since.indexOf('\u001b[?25h\u001b[?1049l') < since.indexOf('stopped='), 'the screen comes first');
      seen = terminal.said.length;
      terminal.type('\n');
    }
    await entered();
    terminal.type('q');
    assert.equal(await terminal.end(), '0');
  });
}

test('a stop without notice: the terminal is set again when it goes on', { timeout: 120_000 }, async (t) => {
  const terminal = new Terminal(80, 10);
  t.after(() => terminal.child.kill('SIGKILL'));
  await terminal.shows(/web-1/);
  const pid = Number(terminal.word(/pid=(\d+)/));
  process.kill(pid, 'SIGSTOP');
  const set = spawn('stty', ['-F', terminal.word(/(\/dev\/pts\/\d+)/), 'sane']);
  await new Promise((resolve) => set.once('close', resolve));
  process.kill(pid, 'SIGCONT');
  await until(() => terminal.said.split('\u001b[?1049h').length === 3, 'the other screen again', PATIENCE_MS);
  // Without a line's end it only arrives in raw mode.
  terminal.type('q');
  assert.equal(await terminal.end(), '0');
});

test('where nobody could continue it, Ctrl-Z stops nothing', { timeout: 120_000 }, async (t) => {
  const terminal = new Terminal(80, 10);
  t.after(() => terminal.child.kill('SIGKILL'));
  await terminal.shows(/web-1/);
  terminal.type('\u001a');
  await until(() => terminal.said.split('\u001b[?1049h').length >= 3, 'the other screen again', PATIENCE_MS);
  terminal.type('q');
  assert.equal(await terminal.end(), '0');
});

test('SIGTERM gives the terminal back', { timeout: 120_000 }, async (t) => {
  const terminal = new Terminal(80, 10);
  t.after(() => terminal.child.kill('SIGKILL'));
  await terminal.shows(/web-1/);
  process.kill(Number(terminal.word(/pid=(\d+)/)), 'SIGTERM');
  assert.equal(await terminal.end(), '143');
});
