import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readLinuxProcesses } from '../../../src/node/metrics/processes.ts';
import { parseProcessStat } from '../../../src/node/process/proc-files.ts';
import { type Clock, systemClock } from '../../../src/shared/clock.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const MEM_TOTAL_BYTES = 1024 * 1024;

function writeProcess(
  proc: string,
  pid: number,
  process: { name: string; ticks: number; start?: number; uid?: number; rssKib?: number },
): void {
  const { name, ticks, start = 7, uid = 0, rssKib } = process;
  mkdirSync(path.join(proc, String(pid)), { recursive: true });
  const fields = ['1', '1', '1', '0', '-1', '0', '0', '0', '0', '0', ticks, 0, '0', '0', '20', '0', '1', '0', start];
  writeFileSync(path.join(proc, String(pid), 'stat'), `${pid} (${name}) S ${fields.join(' ')} 0 0\n`);
  const rss = rssKib === undefined ? '' : `VmRSS:\t    ${rssKib} kB\n`;
  writeFileSync(path.join(proc, String(pid), 'status'), `Name:\t${name}\nUid:\t99\t${uid}\t0\t0\n${rss}`);
}

/** In place of waiting, does `meanwhile`. */
function clockWith(meanwhile: () => void): Clock {
  return {
    ...systemClock,
    after: (delayMs, callback) => {
      assert.equal(delayMs, 500);
      meanwhile();
      return systemClock.after(0, callback);
    },
  };
}

test('CPU shares are those of the window; names, users and memory come without arguments', async (t) => {
  const folder = tempFolder(t);
  const proc = path.join(folder, 'proc');
  const passwd = path.join(folder, 'passwd');
  mkdirSync(proc);
  writeFileSync(passwd, 'root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\ntoor:x:0:0::/:/bin/sh\n');
  const total = (ticks: number) => writeFileSync(path.join(proc, 'stat'), `cpu  ${ticks} 0 0 0 0 0 0 0 0 0\n`);
  total(1_000);
  writeProcess(proc, 1, { name: 'init', ticks: 900, rssKib: 512 });
  writeProcess(proc, 2, { name: 'kthreadd', ticks: 0 });
  writeProcess(proc, 30, { name: 'a) (b c', ticks: 10, uid: 1000, rssKib: 256 });
  writeProcess(proc, 31, { name: 'gone', ticks: 10 });
  writeProcess(proc, 32, { name: 'old', ticks: 500 });
  writeProcess(proc, 40, { name: 'MainThread', ticks: 0 });
  symlinkSync('/usr/bin/node (deleted)', path.join(proc, '40', 'exe'));
  writeProcess(proc, 41, { name: 'MainThread', ticks: 0 });
  const clock = clockWith(() => {
    total(1_200);
    writeProcess(proc, 30, { name: 'a) (b c', ticks: 60, uid: 1000, rssKib: 256 });
    rmSync(path.join(proc, '31'), { recursive: true });
    // The number is used again, by one that began in the window and whose user has no name.
    writeProcess(proc, 32, { name: 'new', ticks: 20, start: 8, uid: 4242, rssKib: 64 });
  });
  const processes = await readLinuxProcesses({ clock, memTotalBytes: MEM_TOTAL_BYTES, proc, passwd });
  assert.deepEqual(
    processes.sort((a, b) => a.pid - b.pid),
    [
      { pid: 1, user: 'root', cpuPct: 0, memPct: 50, rssBytes: 512 * 1024, command: 'init' },
      { pid: 2, user: 'root', cpuPct: 0, memPct: 0, rssBytes: 0, command: 'kthreadd' },
      { pid: 30, user: 'anna', cpuPct: 25, memPct: 25, rssBytes: 256 * 1024, command: 'a) (b c' },
      { pid: 32, user: '4242', cpuPct: 10, memPct: 6.25, rssBytes: 64 * 1024, command: 'new' },
      { pid: 40, user: 'root', cpuPct: 0, memPct: 0, rssBytes: 0, command: 'node' },
      { pid: 41, user: 'root', cpuPct: 0, memPct: 0, rssBytes: 0, command: 'MainThread' },
    ],
  );
});

test('invalid stat lines are rejected', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseProcessStat(text)));
  for (const text of ['', '1', '1 (a', '1 (a) S 1 2', '1 (a) S 1 1 1 0 -1 0 0 0 0 0 x 0 0 0 20 0 1 0 5 0']) {
    assert.equal(parseProcessStat(text), undefined, text);
  }
});

test('names of programs and users that are not UTF-8 are shown unambiguously', async (t) => {
  const folder = tempFolder(t);
  const [proc, passwd] = [path.join(folder, 'proc'), path.join(folder, 'passwd')];
  mkdirSync(proc);
  writeFileSync(passwd, 'ren\xe9:x:1:1::/:/bin/sh\nren\xe8:x:2:2::/:/bin/sh\n', 'latin1');
  writeFileSync(path.join(proc, 'stat'), 'cpu  1 0 0 0 0 0 0 0 0 0\n');
  for (const [index, name] of ['caf\xe9', 'caf\xe8', 'caf\xc3\xa9'].entries()) {
    writeProcess(proc, index + 1, { name, ticks: 0, uid: index });
    const stat = path.join(proc, String(index + 1), 'stat');
    writeFileSync(stat, readFileSync(stat, 'utf8'), 'latin1');
  }
  writeProcess(proc, 4, { name: 'MainThread', ticks: 0 });
  symlinkSync(Buffer.from('/opt/caf\xe9', 'latin1'), path.join(proc, '4', 'exe'));
  const clock = clockWith(() => {});
  const processes = await readLinuxProcesses({ clock, memTotalBytes: MEM_TOTAL_BYTES, proc, passwd });
  const shown = processes.sort((a, b) => a.pid - b.pid).map(({ user, command }) => [user, command]);
  assert.deepEqual(shown, [
    ['0', 'caf\\xe9'],
    ['ren\\xe9', 'caf\\xe8'],
    ['ren\\xe8', 'caf\u00e9'],
    ['0', 'caf\\xe9'],
  ]);
});
