/** Both sides of the pairing handshake, each with its real code, and nothing between them. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { createHeadSigner } from '../../../src/gateway/audit/audit-log.ts';
import { ConnectEpochs } from '../../../src/gateway/identity/connect-epochs.ts';
import { Invites } from '../../../src/gateway/identity/invites.ts';
import { Pairing } from '../../../src/gateway/identity/pairing.ts';
import { SigningKeys } from '../../../src/gateway/identity/signing-keys.ts';
import { Tokens } from '../../../src/gateway/identity/tokens.ts';
import { PendingNodes } from '../../../src/gateway/nodes/pending-nodes.ts';
import { Store } from '../../../src/gateway/store.ts';
import {
  type PairChallengeAnswer,
  type PairChallengeRequest,
  type PairVerifyRequest,
  pairChallengeAnswer,
  pairChallengeRequest,
  pairVerifyAnswer,
  pairVerifyRequest,
} from '../../../src/protocol/node-messages.ts';
import { parseInviteCode } from '../../../src/protocol/pairing.ts';
import { type PairOptions, pair } from '../../../src/protocol/pairing-client.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { loadOrCreateIdentity, type OwnIdentity } from '../../../src/shared/ssh/identity.ts';
import { agesOf, FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

export const FACTS = { hostname: 'h', os: 'linux', osRelease: '1', arch: 'x64', version: '0', capabilities: [] };

export function testGateway(t: TestContext) {
  const folder = tempFolder(t);
  const clock = new FakeClock();
  const keys = new SigningKeys({
    file: path.join(folder, 'signing'),
    retiredFile: path.join(folder, 'retired'),
    graceMs: 48 * 3_600_000,
    clock,
    logger: silentLogger,
  });
  const signingKey = keys.current;
  const store = new Store(path.join(folder, 'fleet.db'), { clock, signer: createHeadSigner(keys) });
  cleanUp(t, () => store.close());
  const invites = new Invites({ ages: agesOf(clock), store, clock });
  const pending = new PendingNodes(clock);
  const tokens = new Tokens({ keys, gatewayId: 'this gateway', clock });
  const hostKey = randomBytes(51);
  const epochs = new ConnectEpochs({ store, clock, logger: silentLogger });
  const pairing = new Pairing({
    store,
    invites,
    pending,
    tokens,
    keys,
    hostKey,
    clock,
    logger: silentLogger,
  });
  const invite = async (changes: Partial<Parameters<Invites['create']>[0]> = {}): Promise<string> =>
    (await invites.create({ role: 'node', labels: {}, ttlMs: 300_000, uses: 1, createdBy: 'test', ...changes })).code;
  return {
    folder,
    clock,
    store,
    epochs,
    keys,
    signingKey,
    invites,
    pending,
    tokens,
    hostKey,
    pairing,
    invite,
  };
}

export type TestGateway = ReturnType<typeof testGateway>;

/** What somebody between the machines could do to the messages. */
export interface Tampering {
  hostKey?: Buffer;
  /** Key of the SSH connection, if it is not the node's own. */
  connectionKey?: Buffer;
  connection?: string;
  address?: string;
  challengeRequest?(request: PairChallengeRequest): PairChallengeRequest;
  challengeAnswer?(answer: PairChallengeAnswer): PairChallengeAnswer;
  verify?(request: PairVerifyRequest): PairVerifyRequest;
}

export class TestNode {
  readonly identity: OwnIdentity;
  readonly #gateway: TestGateway;

  constructor(gateway: TestGateway, keyName = 'key') {
    this.#gateway = gateway;
    this.identity = loadOrCreateIdentity(path.join(gateway.folder, keyName), 'test');
  }

  get publicKey(): Buffer {
    return Buffer.from(this.identity.publicKey);
  }

  /** One handshake over a connection of its own; everything goes through JSON and both sides' schemas. */
  async pair(changes: Partial<PairOptions> & { code?: string } = {}, tampering: Tampering = {}) {
    const { code, ...options } = changes;
    const { pairing, hostKey } = this.#gateway;
    const peer = {
      connection: tampering.connection ?? randomBytes(8).toString('hex'),
      publicKey: tampering.connectionKey ?? this.publicKey,
      address: tampering.address ?? '192.0.2.1',
    };
    const wire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
    const same = <T>(value: T): T => value;
    return await pair({
      client: {
        pairChallenge: async (request) => {
          const sent = (tampering.challengeRequest ?? same)(request);
          const answer = pairing.challenge(peer, pairChallengeRequest.parse(wire(sent)));
          return (tampering.challengeAnswer ?? same)(pairChallengeAnswer.parse(wire(answer)));
        },
        pairVerify: async (request) => {
          const sent = (tampering.verify ?? same)(request);
          return pairVerifyAnswer.parse(wire(await pairing.verify(peer, pairVerifyRequest.parse(wire(sent)))));
        },
      },
      as: 'node',
      identity: this.identity,
      hostKey: tampering.hostKey ?? hostKey,
      invite: code === undefined ? undefined : parseInviteCode(code),
      name: 'web',
      nameRequired: false,
      labels: { own: '1' },
      facts: FACTS,
      ...options,
    });
  }
}
