import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type AuditHeadView,
  DAMAGED_ACTION,
  GENESIS_HASH,
  headBytes,
  openLine,
  PRUNE_ACTION,
  sealLine,
} from '../../src/domain/audit.ts';
import { AuditCheck, type AuditVerdict } from '../../src/domain/audit-check.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const KEY = publicKey.export({ format: 'jwk' }).x ?? '';

interface Content {
  action: string;
  details: Record<string, unknown>;
}

function chainOf(contents: readonly Content[]): { lines: string[]; hashes: string[] } {
  let prev = GENESIS_HASH;
  const lines: string[] = [];
  const hashes: string[] = [];
  contents.forEach(({ action, details }, index) => {
    const actor = { name: 'n', role: 'admin', via: 'socket', key: null, address: null };
    const at = new Date(index).toISOString();
    const sealed = sealLine(JSON.stringify({ seq: index + 1, at, actor, action, outcome: 'ok', details, prev }));
    prev = sealed.hash;
    lines.push(sealed.line);
    hashes.push(sealed.hash);
  });
  return { lines, hashes };
}

function viewOf(seq: number, hash: string): AuditHeadView {
  const signature = sign(null, headBytes({ seq, hash }), privateKey).toString('base64url');
  return { head: { seq, hash, key: KEY, signature }, live: { seq, hash }, keys: [KEY] };
}

function check(lines: readonly string[], view: AuditHeadView | undefined, expected?: string): AuditVerdict {
  const checker = new AuditCheck(expected === undefined ? undefined : { hash: expected });
  for (const line of lines) checker.push(line);
  return checker.finish(view);
}

const kinds = ({ problems }: AuditVerdict): string[] => problems.map(({ kind }) => kind);
const content = fc.record({
  action: fc.constantFrom('job.submit', 'node.revoke'),
  details: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.constant(null)), { maxKeys: 3 }),
});

test('a chain with its signed head is intact, whatever its rows say', () => {
  fc.assert(
    fc.property(fc.array(content, { minLength: 1, maxLength: 8 }), (contents) => {
      const { lines, hashes } = chainOf(contents);
      const verdict = check(lines, viewOf(lines.length, hashes.at(-1) ?? ''), hashes[0]);
      assert.deepEqual([verdict.intact, verdict.rows, verdict.problems], [true, lines.length, []]);
    }),
  );
  const empty = { head: null, live: { seq: 0, hash: GENESIS_HASH }, keys: [KEY] };
  assert.equal(check([], empty).intact, true);
});

test('whatever is done to the rows is found: changed, removed, inserted, swapped, doubled, cut at either end', () => {
  const tampering = fc.constantFrom('change', 'remove', 'insert', 'swap', 'double', 'cut begin', 'cut end', 'empty');
  fc.assert(
    fc.property(
      fc.array(content, { minLength: 3, maxLength: 8 }),
      tampering,
      fc.nat(),
      fc.nat(),
      (contents, how, place, byte) => {
        const { lines, hashes } = chainOf(contents);
        const view = viewOf(lines.length, hashes.at(-1) ?? '');
        const at = place % (lines.length - 1);
        const line = lines[at] ?? '';
        const next = lines[at + 1] ?? '';
        if (how === 'change') {
          const position = byte % line.length;
          lines[at] = line.slice(0, position) + (line[position] === '1' ? '2' : '1') + line.slice(position + 1);
        } else if (how === 'remove') lines.splice(at, 1);
        else if (how === 'insert')
          lines.splice(at, 0, sealLine(openLine(line)?.unsealed.replace('ok', 'no') ?? '').line);
        else if (how === 'swap') lines.splice(at, 2, next, line);
        else if (how === 'double') lines.splice(at, 0, line);
        else if (how === 'cut begin') lines.splice(0, at + 1);
        else if (how === 'cut end') lines.splice(at + 1);
        else lines.splice(0);
        assert.equal(check(lines, view).intact, false, how);
      },
    ),
    { numRuns: 400 },
  );
});

test('each fault is told by its name and its row', () => {
  const contents = Array.from({ length: 4 }, () => ({ action: 'a', details: {} }));
  const { lines, hashes } = chainOf(contents);
  const view = viewOf(4, hashes[3] ?? '');
  const [one = '', two = '', three = '', four = ''] = lines;
  assert.deepEqual(kinds(check([one, two.replace('"ok"', '"no"'), three, four], view)), ['changed']);
  const changed = sealLine(openLine(two)?.unsealed.replace('"ok"', '"no"') ?? '').line;
  assert.deepEqual(kinds(check([one, changed, three, four], view)), ['unlinked']);
  assert.deepEqual(kinds(check([one, three, four], view)), ['missing']);
  assert.deepEqual(kinds(check([one, 'x', three, four], view)), ['unreadable', 'missing']);
  assert.deepEqual(kinds(check([two, three, four], view)), ['cut_begin']);
  assert.deepEqual(kinds(check([one, three, two, four], view)), ['missing', 'out_of_order', 'missing']);
  assert.deepEqual(kinds(check([one, two, three], view)), ['cut_end', 'cut_end']);
  const many = check(
    chainOf(Array.from({ length: 60 }, () => contents[0] as Content)).lines.filter((_, n) => n % 2),
    undefined,
  );
  assert.deepEqual([many.problems.length, many.problemCount], [20, 30]);
});

test('a chain that somebody wrote anew, or cut together with its head, does not have the signature or the live end', () => {
  const { lines, hashes } = chainOf([1, 2, 3].map((n) => ({ action: 'a', details: { n } })));
  const forged = chainOf([1, 2, 4].map((n) => ({ action: 'a', details: { n } })));
  const view = viewOf(3, hashes[2] ?? '');
  assert.ok(view.head);
  const unsigned = { ...view, head: { ...view.head, hash: forged.hashes[2] ?? '' } };
  assert.deepEqual(kinds(check(forged.lines, unsigned)), ['head', 'cut_end']);
  const stranger = generateKeyPairSync('ed25519');
  const bytes = headBytes({ seq: 3, hash: hashes[2] ?? '' });
  const signature = sign(null, bytes, stranger.privateKey).toString('base64url');
  const key = stranger.publicKey.export({ format: 'jwk' }).x ?? '';
  assert.deepEqual(kinds(check(lines, { ...view, head: { ...view.head, key, signature } })), ['head']);
  assert.deepEqual(kinds(check(lines, { ...view, head: null })), ['head']);
  // Cut, with an old head that was truly signed: the running gateway knows better, and so does whoever kept a head.
  const old = viewOf(2, hashes[1] ?? '');
  assert.deepEqual(kinds(check(lines.slice(0, 2), { ...old, live: view.live })), ['cut_end']);
  assert.equal(check(lines.slice(0, 2), old).intact, true, 'nothing in the log itself tells');
  assert.deepEqual(kinds(check(lines.slice(0, 2), old, hashes[2])), ['expected']);
  assert.equal(check(lines, view, hashes[1]).intact, true, 'an earlier head is a part of the chain');
});

test('rows that were deleted because of their age are said to be; damage that the gateway saw stays told', () => {
  const plain = { action: 'a', details: {} };
  const before = chainOf([plain, plain]);
  const details = { rows: 2, through: 2, hash: before.hashes[1] };
  const { lines, hashes } = chainOf([plain, plain, plain, { action: PRUNE_ACTION, details }]);
  const view = viewOf(4, hashes[3] ?? '');
  assert.equal(check(lines.slice(2), view, hashes[1]).intact, true);
  assert.deepEqual(kinds(check(lines.slice(1), view)), ['cut_begin']);
  assert.deepEqual(kinds(check(lines.slice(3), view)), ['cut_begin']);
  const damaged = chainOf([plain, { action: DAMAGED_ACTION, details: {} }]);
  assert.deepEqual(kinds(check(damaged.lines, viewOf(2, damaged.hashes[1] ?? ''))), ['noted_damage']);
});
