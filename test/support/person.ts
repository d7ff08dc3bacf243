/** A person with a home of their own, who uses a gateway over loopback. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { GatewayClient } from '../../src/client/gateway-client.ts';
import { type LoginOptions, type LoginResult, login } from '../../src/remote/login.ts';
import { RemoteTransport } from '../../src/remote/transport.ts';
import { type Clock, systemClock } from '../../src/shared/clock.ts';
import { personPaths } from '../../src/shared/home.ts';
import { parseOpenSshPrivateKey } from '../../src/shared/ssh/ssh-key.ts';
import { cleanUp, tempFolder } from './temp-folder.ts';

export class TestPerson {
  readonly home: string;
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.home = path.join(tempFolder(t), 'home');
    this.#t = t;
  }

  get paths() {
    return personPaths(this.home);
  }

  get publicKey(): Buffer {
    return Buffer.from(parseOpenSshPrivateKey(readFileSync(this.paths.key, 'utf8')).publicKey);
  }

  login(port: number, code?: string, changes: Partial<LoginOptions> = {}): Promise<LoginResult> {
    return login({
      home: this.home,
      gateway: `127.0.0.1:${port}`,
      code,
      name: undefined,
      suggestedName: 'somebody',
      keyComment: 'test',
      clock: systemClock,
      ...changes,
    });
  }

  transport(port: number, clock: Clock = systemClock): RemoteTransport {
    const target = { user: 'fleet', address: { host: '127.0.0.1', port } };
    const transport = new RemoteTransport({ home: this.home, target, clock });
    cleanUp(this.#t, () => transport.close());
    return transport;
  }

  /** What the command line uses. */
  client(port: number): GatewayClient {
    return new GatewayClient({ connect: async () => this.transport(port) });
  }
}
