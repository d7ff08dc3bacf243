import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RunningService, StartNodeOptions } from '../../../src/cli/context/services.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { TestWorld } from '../test-world.ts';

class FakeService implements RunningService {
  readyLine = 'node-1 is online';
  info = { name: 'node-1' };
  readonly #ended = Promise.withResolvers<FleetError | undefined>();
  readonly ended = this.#ended.promise;
  closed = 0;
  reconnects = 0;
  reloads = 0;
  /** Resolves only then, where a test says so. */
  closing: Promise<void> = Promise.resolve();

  reconnect(): void {
    this.reconnects += 1;
  }

  reload(): void {
    this.reloads += 1;
  }

  async close(): Promise<void> {
    this.closed += 1;
    await this.closing;
  }

  end(error?: FleetError): void {
    this.#ended.resolve(error);
  }
}

function setUp(): { world: TestWorld; service: FakeService; started: Promise<StartNodeOptions> } {
  const world = new TestWorld('/nonexistent');
  const service = new FakeService();
  const started = Promise.withResolvers<StartNodeOptions>();
  world.services.startNode = async (options) => {
    started.resolve(options);
    return service;
  };
  return { world, service, started: started.promise };
}

const untilReady = async (world: TestWorld): Promise<void> => {
  while (world.stdout.bytes.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
};

describe('serving', { timeout: 60_000 }, () => {
  test('says one line when it is ready, and ends in order on SIGTERM', async () => {
    const { world, service, started } = setUp();
    world.env = { FLEET_GATEWAY: 'env-gw', FLEET_CODE: 'env-code', FLEET_NAME: 'env-name', FLEET_NODE: 'unrelated' };
    const running = world.run('node', 'up', '--gateway', 'gw', '--label', 'a=b');
    const { home, flags, configFile } = await started;
    assert.deepEqual(flags, { gateway: 'gw', code: 'env-code', name: 'env-name', labels: { a: 'b' } });
    assert.deepEqual([home, configFile], ['/nonexistent', undefined]);
    await untilReady(world);
    assert.ok(world.signal('SIGTERM'));
    const { exitCode, stdout } = await running;
    assert.deepEqual([exitCode, stdout, service.closed], [0, 'node-1 is online\n', 1]);
    assert.equal(world.listening, 0);
  });

  test('--json prints the pid and the facts', async () => {
    const { world } = setUp();
    const running = world.run('node', 'up', '--json');
    await untilReady(world);
    world.signal('SIGINT');
    assert.equal((await running).stdout, '{"pid":4242,"name":"node-1"}\n');
  });

  test('a second signal leaves at once', async () => {
    const { world, service } = setUp();
    service.closing = new Promise(() => {});
    const running = world.run('node', 'up');
    await untilReady(world);
    world.signal('SIGTERM');
    await new Promise((resolve) => setImmediate(resolve));
    world.signal('SIGINT');
    assert.equal((await running).exitCode, 130);
  });

  test('a signal while it starts ends it, and nothing is announced', async () => {
    const { world, service } = setUp();
    const starting = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    world.services.startNode = async ({ signal }) => {
      signal.addEventListener('abort', () => aborted.resolve());
      starting.resolve();
      await aborted.promise;
      return service;
    };
    const running = world.run('node', 'up');
    await starting.promise;
    world.signal('SIGTERM');
    assert.deepEqual(await running.then(({ exitCode, stdout }) => [exitCode, stdout]), [0, '']);
    assert.equal(service.closed, 1);
  });

  test('SIGHUP while it starts: a node that waits for its gateway tries at once, a gateway reads its configuration once it is up', async () => {
    const { world, service } = setUp();
    const up = Promise.withResolvers<void>();
    const starting = Promise.withResolvers<void>();
    world.services.startNode = async ({ onBegun }) => {
      onBegun(service);
      starting.resolve();
      await up.promise;
      return service;
    };
    const node = world.run('node', 'up');
    await starting.promise;
    world.signal('SIGHUP');
    assert.equal(service.reconnects, 1);
    up.resolve();
    await untilReady(world);
    world.signal('SIGTERM');
    await node;
    assert.deepEqual([service.reconnects, service.reloads], [1, 0]);

    const other = setUp();
    const begun = Promise.withResolvers<void>();
    const ready = Promise.withResolvers<void>();
    other.world.services.startGateway = async () => {
      begun.resolve();
      await ready.promise;
      return other.service;
    };
    const gateway = other.world.run('gateway', 'up');
    await begun.promise;
    other.world.signal('SIGHUP');
    assert.equal(other.service.reloads, 0);
    ready.resolve();
    await untilReady(other.world);
    assert.equal(other.service.reloads, 1);
    other.world.signal('SIGTERM');
    assert.equal((await gateway).exitCode, 0);
  });

  test('SIGHUP makes a node connect anew, and a gateway read its configuration, unless that has lost its terminal', async () => {
    const { world, service } = setUp();
    const running = world.run('node', 'up');
    await untilReady(world);
    world.signal('SIGHUP');
    assert.deepEqual([service.reconnects, service.closed], [1, 0]);
    world.signal('SIGTERM');
    await running;
    const other = setUp();
    other.world.services.startGateway = async () => other.service;
    const gateway = other.world.run('gateway', 'up');
    await untilReady(other.world);
    other.world.signal('SIGHUP');
    assert.deepEqual([other.service.reloads, other.service.closed], [1, 0]);
    other.world.signal('SIGTERM');
    assert.equal((await gateway).exitCode, 0);
    other.world.stderr.isTTY = true;
    const inTerminal = other.world.run('gateway', 'up');
    await untilReady(other.world);
    other.world.signal('SIGHUP');
    assert.equal((await inTerminal).exitCode, 0);
    assert.deepEqual([other.service.reloads, other.service.closed], [1, 2]);
  });

  test('what stops by itself has the exit code of its reason, or 0', async () => {
    for (const [error, code] of [
      [new FleetError('key_revoked', 'the key of node-1 was revoked'), 77],
      [new FleetError('host_key_changed', 'x'), 78],
      [undefined, 0],
    ] as const) {
      const { world, service } = setUp();
      const running = world.run('node', 'up');
      await untilReady(world);
      service.end(error);
      assert.equal((await running).exitCode, code);
      assert.equal(service.closed, 1);
    }
  });

  test('one that cannot start says why', async () => {
    const { world } = setUp();
    world.services.startNode = () =>
      Promise.reject(new FleetError('invite_invalid', 'the code was used', { hint: 'Ask.' }));
    const { exitCode, stderr } = await world.run('node', 'up', '--code', 'x');
    assert.deepEqual([exitCode, stderr], [77, 'fleet: the code was used\nAsk.\n']);
  });

  test('while it waits for approval, both sides of the comparison are told', async () => {
    const { world, started } = setUp();
    const running = world.run('node', 'up');
    (await started).onPending({ code: '4831-2290', gateway: 'gw:18790', name: 'pi' });
    await untilReady(world);
    world.signal('SIGTERM');
    assert.match(
      (await running).stderr,
      /pi is waiting for approval by gw:18790; its code is 4831-2290\n.*fleet nodes approve 4831-2290/,
    );
  });

  test('tells the parent of a detached process, and shows no log', async () => {
    const { world, started } = setUp();
    const told: object[] = [];
    world.reportToParent = async (message) => void told.push(message);
    const running = world.run('node', 'up');
    assert.equal((await started).console, undefined);
    await untilReady(world);
    world.signal('SIGTERM');
    await running;
    assert.deepEqual(told, [{ ready: { readyLine: 'node-1 is online', info: { pid: 4242, name: 'node-1' } } }]);
  });
});
