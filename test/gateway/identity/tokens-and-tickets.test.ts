import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { SignJWT, UnsecuredJWT } from 'jose';
import { loadOrCreateKeyFile, toSigningKey } from '../../../src/gateway/identity/signing-keys.ts';
import { issueTicket, TOKEN_LIFETIME_S, Tokens } from '../../../src/gateway/identity/tokens.ts';
import { verifyTicket } from '../../../src/node/api/verify-ticket.ts';
import { TICKET_LIFETIME_S } from '../../../src/protocol/run-spec.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { testGateway } from './fixtures.ts';

test('a token is valid to its last second by the gateway’s clock', async (t) => {
  const { clock, tokens } = testGateway(t);
  const publicKey = randomBytes(32);
  const { token, expiresAt } = await tokens.issue({ subject: 'n1', role: 'node', publicKey });
  assert.equal(expiresAt, Math.floor(clock.now() / 1000) * 1000 + TOKEN_LIFETIME_S * 1000);
  clock.jumpWall(expiresAt - clock.now() - 1);
  assert.equal((await tokens.verify(token, publicKey)).role, 'node');
  clock.jumpWall(1);
  await assert.rejects(tokens.verify(token, publicKey), { code: 'token_invalid' });
});

test('a token of another gateway, another key, another purpose, or without a signature is void', async (t) => {
  const { clock, tokens, keys, signingKey } = testGateway(t);
  const publicKey = randomBytes(32);
  const claims = { subject: 'n1', role: 'node' as const, publicKey };
  const other = { clock, keys };
  const foreignId = new Tokens({ ...other, gatewayId: 'another gateway' });
  const foreignKey = new Tokens({
    ...other,
    gatewayId: 'this gateway',
    keys: testGateway(t).keys,
  });
  const now = Math.floor(clock.now() / 1000);
  const payload = {
    sub: 'n1',
    role: 'admin',
    jti: 'x',
    cnf: {},
    iss: 'this gateway',
    aud: 'this gateway',
    iat: now,
    exp: now + 99,
  };
  const forged = [
    (await foreignId.issue(claims)).token,
    (await foreignKey.issue(claims)).token,
    issueTicket({ signingKey, clock }, { id: 'r', nodeId: 'this gateway' }, Buffer.alloc(0)),
    await new SignJWT(payload)
      .setProtectedHeader({ alg: 'EdDSA', typ: 'fleet-token+jwt', kid: signingKey.id })
      .sign(signingKey.privateKey),
    await new SignJWT(payload)
      .setProtectedHeader({ alg: 'HS256', typ: 'fleet-token+jwt' })
      .sign(signingKey.rawPublicKey),
    new UnsecuredJWT(payload).encode(),
    '',
    'a.b.c',
  ];
  for (const token of forged) await assert.rejects(tokens.verify(token, publicKey), { code: 'token_invalid' }, token);
});

test('a ticket is valid for one node, one run and exactly these bytes', async (t) => {
  const { clock, signingKey, folder } = testGateway(t);
  const body = Buffer.from('{"command":"true"}');
  const ticket = issueTicket({ signingKey, clock }, { id: 'job.0', nodeId: 'n1' }, body);
  const good = {
    ticket,
    run: 'job.0',
    nodeId: 'n1',
    body,
    signingKeys: [signingKey.rawPublicKey.toString('base64url')],
    now: clock.now(),
  };
  await verifyTicket(good);
  const foreign = toSigningKey(loadOrCreateKeyFile(path.join(folder, 'foreign'), 'x')).rawPublicKey.toString(
    'base64url',
  );
  const changedBytes = [...body].map((byte, index) => {
    const changed = Buffer.from(body);
    changed.writeUInt8(byte ^ 1, index);
    return { body: changed };
  });
  const wrong: Partial<typeof good>[] = [
    { nodeId: 'n2' },
    { run: 'job.1' },
    ...changedBytes,
    { body: Buffer.concat([body, Buffer.from(' ')]) },
    { signingKeys: [foreign] },
    { signingKeys: [] },
    {
      ticket: ticket.replace(
        /\.(.)([^.]*)$/,
        (_, first: string, rest: string) => `.${first === 'A' ? 'B' : 'A'}${rest}`,
      ),
    },
    { ticket: '' },
  ];
  for (const changes of wrong) await assert.rejects(verifyTicket({ ...good, ...changes }), { code: 'forbidden' });
  await assert.rejects(verifyTicket({ ...good, ticket: undefined }), { code: 'forbidden' });
  await verifyTicket({ ...good, signingKeys: [foreign, ...good.signingKeys] });
});

test('a ticket expires after its lifetime and thirty seconds of tolerance for a slow clock', async (t) => {
  const { clock, signingKey } = testGateway(t);
  const body = Buffer.from('x');
  const issuedAt = clock.now();
  const check = {
    ticket: issueTicket({ signingKey, clock }, { id: 'r', nodeId: 'n' }, body),
    run: 'r',
    nodeId: 'n',
    body,
    signingKeys: [signingKey.rawPublicKey.toString('base64url')],
  };
  const life = TICKET_LIFETIME_S * 1000;
  await verifyTicket({ ...check, now: issuedAt + life + 29_000 });
  await verifyTicket({ ...check, now: issuedAt - 29_000 });
  await assert.rejects(verifyTicket({ ...check, now: issuedAt + life + 31_000 }), { code: 'forbidden' });
});

test('a token is not a ticket', async (t) => {
  const { clock, signingKey, tokens } = testGateway(t);
  const { token } = await tokens.issue({ subject: 'n', role: 'node', publicKey: randomBytes(32) });
  const signingKeys = [signingKey.rawPublicKey.toString('base64url')];
  const check = {
    ticket: token,
    run: 'r',
    nodeId: 'this gateway',
    body: Buffer.alloc(0),
    signingKeys,
    now: clock.now(),
  };
  await assert.rejects(verifyTicket(check), { code: 'forbidden' });
});

test('a key file is created once, stays, and must be private and intact', (t) => {
  const file = path.join(tempFolder(t), 'key');
  const text = loadOrCreateKeyFile(file, 'x');
  assert.equal(loadOrCreateKeyFile(file, 'y'), text);
  assert.equal(toSigningKey(text).id, toSigningKey(text).id);
  chmodSync(file, 0o644);
  assert.throws(() => loadOrCreateKeyFile(file, 'x'), { code: 'home_insecure' });
  chmodSync(file, 0o600);
  writeFileSync(file, text.slice(0, 100));
  assert.throws(() => loadOrCreateKeyFile(file, 'x'), { code: 'config_invalid', message: new RegExp(`^${file}: `) });
});
