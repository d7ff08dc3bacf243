import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  commitmentOf,
  comparisonCode,
  encodeTranscript,
  formatInviteCode,
  INVITE_LENGTHS,
  inviteProof,
  parseInviteCode,
  proofsEqual,
  type Transcript,
} from '../../src/protocol/pairing.ts';
import { randomBase32 } from '../../src/shared/base32.ts';

const bytes = fc.uint8Array({ maxLength: 40 });
const transcriptArbitrary: fc.Arbitrary<Transcript> = fc.record({
  hostKey: bytes,
  publicKey: bytes,
  nodeNonce: bytes,
  gatewayNonce: bytes,
  gatewayTimeMs: fc.nat(),
  inviteId: fc.string({ maxLength: 8 }),
});

test('two different transcripts are never the same bytes', () => {
  fc.assert(
    fc.property(transcriptArbitrary, transcriptArbitrary, (left, right) => {
      const same = JSON.stringify(Object.values(left).map(String)) === JSON.stringify(Object.values(right).map(String));
      assert.equal(encodeTranscript(left).equals(encodeTranscript(right)), same);
    }),
  );
});

test('bytes cannot be moved from one field to the next', () => {
  const base = { nodeNonce: randomBytes(32), gatewayNonce: randomBytes(32), gatewayTimeMs: 1, inviteId: '' };
  const one = encodeTranscript({ ...base, hostKey: Buffer.from('ab'), publicKey: Buffer.from('c') });
  const other = encodeTranscript({ ...base, hostKey: Buffer.from('a'), publicKey: Buffer.from('bc') });
  assert.equal(one.length, other.length);
  assert.equal(one.equals(other), false);
});

test('the proof of one side is worth nothing for the other, nor with another secret or transcript', () => {
  const transcript = randomBytes(50);
  const proof = inviteProof('gateway', 'secret', transcript);
  assert.equal(proofsEqual(proof, inviteProof('gateway', 'secret', transcript)), true);
  for (const other of [
    inviteProof('node', 'secret', transcript),
    inviteProof('gateway', 'secre7', transcript),
    inviteProof('gateway', 'secret', randomBytes(50)),
    proof.subarray(0, 31),
    Buffer.alloc(0),
  ]) {
    assert.equal(proofsEqual(proof, other), false);
  }
});

test('the comparison code is eight digits, and hangs on the transcript and on the opening', () => {
  const opening = randomBytes(32);
  const code = comparisonCode(Buffer.from('t'), opening);
  assert.match(code, /^\d{4}-\d{4}$/);
  assert.equal(comparisonCode(Buffer.from('t'), opening), code);
  const others = new Set([...Array(50)].map((_, n) => comparisonCode(Buffer.from(`t${n}`), opening)));
  assert.equal(others.has(code), false);
  assert.ok(others.size > 45);
  assert.notEqual(comparisonCode(Buffer.from('t'), randomBytes(32)), code);
  assert.notDeepEqual(commitmentOf(opening), opening);
});

test('an invite code survives being read aloud and typed', () => {
  assert.equal(formatInviteCode({ id: '7k3f', secret: '9m2qx0zt4hcv' }), '7k3f-9m2q-x0zt-4hcv');
  assert.deepEqual(parseInviteCode(' 7K3F 9M2Q xOzt 4hcv'), { id: '7k3f', secret: '9m2qx0zt4hcv' });
  fc.assert(
    fc.property(fc.integer(), () => {
      const code = {
        id: randomBase32(INVITE_LENGTHS.id, randomBytes),
        secret: randomBase32(INVITE_LENGTHS.secret, randomBytes),
      };
      assert.deepEqual(parseInviteCode(formatInviteCode(code).toUpperCase()), code);
    }),
  );
});

test('what is no code is refused before anything is sent', () => {
  for (const text of ['', '7k3f', '7k3f-9m2q-x0zt-4hc', '7k3f-9m2q-x0zt-4hcvv', '7k3f-9m2q-x0zt-4hcu']) {
    assert.throws(() => parseInviteCode(text), { code: 'invite_invalid' }, text);
  }
});

test('the secret of an invite has at least 60 bits', () => {
  assert.ok(INVITE_LENGTHS.secret * 5 >= 60);
});
