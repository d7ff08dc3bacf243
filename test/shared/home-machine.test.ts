import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { claimForMachine, otherMachine } from '../../src/shared/home-machine.ts';
import { tempFolder } from '../support/temp-folder.ts';

const A = { machineId: 'a'.repeat(32), hostname: 'a.example.org' };
const B = { machineId: 'b'.repeat(32), hostname: 'b.example.org' };

test('a folder is of the machine that came first, until it is taken over', (t) => {
  const file = path.join(tempFolder(t), 'machine');
  const claim = (machine: { machineId?: string; hostname: string }, adopt = false): void =>
    claimForMachine({ file, what: 'the node web', adopt, instead: 'Or else.' }, machine);
  claim(A);
  claim(A);
  const before = readFileSync(file, 'utf8');
  assert.throws(() => claim(B), {
    code: 'home_foreign',
    message: 'the node web belongs to the machine a.example.org, and this is b.example.org',
    hint: /--adopt-home.*Or else/,
  });
  assert.equal(readFileSync(file, 'utf8'), before);
  // Renamed, the same machine.
  claim({ ...A, hostname: 'new-name' });
  claim(B, true);
  claim(B);
  assert.throws(() => claim(A), { code: 'home_foreign' });
});

test('where one of the two has no id nobody can tell, and what was known stays', (t) => {
  const file = path.join(tempFolder(t), 'machine');
  const claim = (machine: { machineId?: string; hostname: string }): void =>
    claimForMachine({ file, what: 'the node web', adopt: false, instead: '' }, machine);
  claim({ hostname: 'container-1' });
  claim({ hostname: 'container-2' });
  claim(A);
  claim({ hostname: 'container-3' });
  assert.equal(otherMachine(file, B.machineId), 'a.example.org');
  assert.equal(otherMachine(file, A.machineId), undefined);
  for (const text of ['', '\n', '-', 'x']) {
    writeFileSync(file, text, { mode: 0o600 });
    claim(A);
  }
});
