import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FakeGateway, fail, json } from '../../client/fake-gateway.ts';
import { until } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { TestWorld } from '../test-world.ts';
import { nodeView } from '../top/nodes.ts';

const VIEW = { status: 'online', nodes: [nodeView('web-1'), nodeView('web-2')], alerts: [] };
const LEAVE = '\u001b[?25h\u001b[?1049l';

class Keyboard extends PassThrough {
  isTTY = true;
  readonly modes: boolean[] = [];

  setRawMode(raw: boolean): void {
    this.modes.push(raw);
  }
}

describe('fleet top', { timeout: 60_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  let keyboard: Keyboard;
  let clock: FakeClock;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
    keyboard = new Keyboard();
    world.stdin = keyboard;
    clock = new FakeClock();
  });
  afterEach(() => gateway.close());

  /** Makes stdout a terminal of that size. */
  function terminal(columns = 100, rows = 20): void {
    world.clock = clock;
    Object.assign(world.stdout, { isTTY: true, columns, rows });
    world.env = { LANG: 'C.UTF-8', NO_COLOR: '1' };
  }

  const screen = (): string => world.stdout.bytes.toString();
  /** What stands on the screen now. */
  const frame = (): string => screen().split('\u001b[H').at(-1) ?? '';

  test('no terminal: one frame, no escape sequence, no keyboard', async () => {
    gateway.on('GET /v1/health', json(VIEW));
    const { exitCode, stdout } = await world.run('top');
    assert.equal(exitCode, 0);
    assert.match(stdout, /2 online\n.*NAME.*\n.*web-1 +online.*\n.*web-2 +online/);
    assert.ok(!stdout.includes('\u001b'));
    assert.equal(world.stdinOpened, 0);
    assert.deepEqual(JSON.parse((await world.run('top', '--json')).stdout), VIEW);
    assert.equal((await world.run('top', '-n', '2', '-d', '100ms')).stdout.match(/fleet top/g)?.length, 2);
  });

  test('on a terminal --once and TERM=dumb do the same', async () => {
    gateway.on('GET /v1/health', json(VIEW));
    terminal();
    assert.ok(!(await world.run('top', '--once')).stdout.includes('\u001b[H'));
    world.env = { TERM: 'dumb' };
    assert.ok(!(await world.run('top')).stdout.includes('\u001b'));
  });

  test('keys, and the terminal as it was before at the end', async () => {
    gateway.on('GET /v1/health', json(VIEW));
    terminal();
    const running = world.run('top');
    await until(() => frame().includes('web-2'), 'the first frame', 20_000);
    keyboard.write('/web-1\r');
    await until(() => frame().includes('filter: web-1  ') && !frame().includes('web-2'), 'the filter', 20_000);
    assert.deepEqual(keyboard.modes, [true]);
    keyboard.write('q');
    const { exitCode, stdout } = await running;
    assert.equal(exitCode, 0);
    assert.ok(stdout.startsWith('\u001b[?1049h') && stdout.endsWith(LEAVE));
    assert.deepEqual(keyboard.modes, [true, false]);
    assert.equal(world.listening, 0);
    assert.equal(keyboard.listenerCount('data'), 0);
    assert.equal(world.stdout.listenerCount('resize'), 0);
  });

  test('the gateway goes and comes back: told, with the age of what is shown, and then all is well', async () => {
    gateway.on(
      'GET /v1/health',
      json(VIEW),
      fail(503, 'busy', 'too much'),
      json({ ...VIEW, nodes: [nodeView('back')] }),
    );
    terminal();
    const running = world.run('top');
    await until(() => frame().includes('web-2'), 'the first frame', 20_000);
    await clock.advance(2_000);
    await until(() => /gateway lost.*2s ago.*too much/.test(frame()), 'the loss', 20_000);
    assert.match(frame(), /web-2 +online/);
    await clock.advance(2_000);
    await until(() => frame().includes('back') && !frame().includes('lost'), 'the return', 20_000);
    keyboard.write('\u0003');
    assert.equal((await running).exitCode, 0);
  });

  test('another size of the terminal is another frame, at once', async () => {
    gateway.on('GET /v1/health', json(VIEW));
    terminal();
    const running = world.run('top');
    await until(() => frame().includes('LOAD'), 'the first frame', 20_000);
    Object.assign(world.stdout, { columns: 20, rows: 4 });
    world.stdout.emit('resize');
    await until(() => frame().includes('web-1') && !frame().includes('LOAD'), 'the narrow frame', 20_000);
    keyboard.write('q');
    await running;
  });

  test('SIGTERM, and a terminal that is closed, give everything back', async () => {
    gateway.on('GET /v1/health', json(VIEW));
    terminal();
    const ends: [() => void, number][] = [
      [() => world.signal('SIGTERM'), 143],
      [() => void keyboard.end(), 129],
    ];
    for (const [end, code] of ends) {
      const running = world.run('top');
      await until(() => frame().includes('web-2'), 'the first frame', 20_000);
      end();
      const { exitCode, stdout } = await running;
      assert.equal(exitCode, code);
      assert.ok(stdout.endsWith(LEAVE));
    }
  });

  test('a defect while drawing gives the terminal back before it is told', async () => {
    gateway.on('GET /v1/health', json(VIEW));
    terminal();
    const running = world.run('top');
    await until(() => frame().includes('web-2'), 'the first frame', 20_000);
    Object.defineProperty(world.stdout, 'columns', {
      get() {
        throw new TypeError('a defect');
      },
    });
    await clock.advance(2_000);
    const { exitCode, stdout, stderr } = await running;
    assert.equal(exitCode, 255);
    assert.ok(stdout.endsWith(LEAVE));
    assert.match(stderr, /bug in fleet/);
    assert.deepEqual(keyboard.modes, [true, false]);
  });

  test('without a gateway from the start the terminal is not touched; wrong options are told', async () => {
    await gateway.stop();
    terminal();
    const { exitCode, stdout, stderr } = await world.run('top');
    assert.deepEqual([exitCode, stdout], [255, '']);
    assert.match(stderr, /no gateway is running/);
    for (const args of [
      ['-d', '1ms'],
      ['-n', '0'],
      ['--once', '-n', '2'],
    ]) {
      assert.equal((await world.run('top', ...args)).exitCode, 2, args.join(' '));
    }
  });
});
