import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { joinPieces } from '../../../../src/gateway/monitoring/report/join-pieces.ts';

test('while a long document is put together, others have their turns', async () => {
  const made: number[] = [];
  function* pieces() {
    for (let index = 0; index < 200; index += 1) {
      made.push(index);
      yield `${index},`;
    }
  }
  let madeAtTurn = 0;
  const other = setImmediate().then(() => {
    madeAtTurn = made.length;
  });
  const text = await joinPieces(pieces());
  await other;
  assert.equal(text, Array.from({ length: 200 }, (_, index) => `${index},`).join(''));
  assert.ok(madeAtTurn > 0 && madeAtTurn < 200, `${madeAtTurn} of 200 pieces were made in one turn`);
});
