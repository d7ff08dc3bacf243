import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { followLines, readLastLines } from '../../../src/cli/service/logs.ts';
import { systemClock } from '../../../src/shared/clock.ts';

describe('the tail of a log', { timeout: 20_000 }, () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'lt-'));
    file = path.join(folder, 'a.log');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('the last lines, over the border of chunks', () => {
    const lines = Array.from({ length: 3000 }, (_, index) => `${index} ${'ä'.repeat(60)}`);
    writeFileSync(file, `${lines.join('\n')}\n`);
    for (const count of [1, 2, 500, 2999, 3000, 4000]) {
      assert.deepEqual(readLastLines(file, count).lines, lines.slice(-count), String(count));
    }
  });

  test('goes on in the predecessor when the file is young', () => {
    writeFileSync(`${file}.1`, '1\n2\n3\n');
    writeFileSync(file, '4\n');
    assert.deepEqual(readLastLines(file, 3).lines, ['2', '3', '4']);
    writeFileSync(file, '');
    assert.deepEqual(readLastLines(file, 1).lines, ['3']);
  });

  test('an unfinished line is left for later', async () => {
    writeFileSync(file, 'one\ntw');
    const { lines, end } = readLastLines(file, 5);
    assert.deepEqual(lines, ['one']);
    const abort = new AbortController();
    const coming = followLines(file, end, systemClock, abort.signal);
    appendFileSync(file, 'o\n');
    assert.equal((await coming.next()).value, 'two');
    abort.abort();
    assert.equal((await coming.next()).done, true);
  });

  test('follows through rotations, whenever they happen', async () => {
    writeFileSync(file, 'before\n');
    const { end } = readLastLines(file, 1);
    appendFileSync(file, 'a\n');
    renameSync(file, `${file}.1`);
    writeFileSync(file, 'b\n');
    const abort = new AbortController();
    const coming = followLines(file, end, systemClock, abort.signal);
    const next = async (): Promise<unknown> => (await coming.next()).value;
    assert.deepEqual([await next(), await next()], ['a', 'b']);
    appendFileSync(file, 'c\n');
    assert.equal(await next(), 'c');
    appendFileSync(file, 'd\n');
    renameSync(file, `${file}.1`);
    const afterwards = next();
    await new Promise((resolve) => setTimeout(resolve, 250));
    writeFileSync(file, 'e\n');
    assert.deepEqual([await afterwards, await next()], ['d', 'e']);
    abort.abort();
    assert.equal((await coming.next()).done, true);
  });
});
