/** What the machine itself asks for the things that no run can do without, so that the figures beside it can be judged. */
import { execFileSync } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';

const SAMPLES = 200;

/** Starts a shell now and then, and prints the medians of the time to its start and to its end, ms. */
const STARTER = `
  const { spawn } = require('node:child_process');
  const started = [], ended = [];
  const next = (left) => setTimeout(() => {
    const begun = performance.now();
    const shell = spawn(process.env.SHELL || '/bin/sh', ['-c', 'true'], { stdio: 'ignore', detached: true });
    started.push(performance.now() - begun);
    shell.once('exit', () => {
      ended.push(performance.now() - begun);
      if (left > 1) return next(left - 1);
      for (const list of [started, ended]) console.log(list.sort((a, b) => a - b)[list.length >> 1]);
    });
  }, 5);
  next(${SAMPLES});`;

export interface MachineFloor {
  /** From the order until the shell runs, and until its exit is seen, in a process about as small as the shim, ms. */
  spawnMs: number;
  exitMs: number;
  /** Appending 4 KiB and waiting for the disk, ms. */
  syncMs: number;
}

export function measureFloor(folder: string): MachineFloor {
  const printed = execFileSync(process.execPath, ['--max-semi-space-size=1', '-e', STARTER], { encoding: 'utf8' });
  const [spawnMs = Number.NaN, exitMs = Number.NaN] = printed.trim().split('\n').map(Number);
  return { spawnMs, exitMs, syncMs: measureSync(path.join(folder, 'floor')) };
}

function measureSync(file: string): number {
  const descriptor = openSync(file, 'w');
  const page = Buffer.alloc(4096);
  const times: number[] = [];
  try {
    for (let index = 0; index < SAMPLES; index += 1) {
      const begun = performance.now();
      writeSync(descriptor, page);
      fdatasyncSync(descriptor);
      times.push(performance.now() - begun);
    }
  } finally {
    closeSync(descriptor);
    rmSync(file);
  }
  return times.sort((a, b) => a - b)[SAMPLES >> 1] ?? Number.NaN;
}
