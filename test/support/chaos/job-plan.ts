/** What the jobs of a chaos round do, and what they must have written when they came to their end. */
import path from 'node:path';
import type { SeededRandom } from './seeded-random.ts';

export interface JobPlan {
  /** Unique; stands in the command, and in the names of the files that tell how often it ran. */
  marker: string;
  /** `follow`: `fleet run`; `async`: `fleet run --async`; `broadcast`: to all nodes, without waiting. */
  how: 'follow' | 'async' | 'broadcast';
  nodes: readonly string[];
  lane: string | undefined;
  /** For --expires; `undefined` for a job that does not wait for a node that is away. */
  expires: string | undefined;
  /** Whether its deadline is so short that it may pass. */
  mayExpire: boolean;
  command: string;
  stdout: Buffer;
  stderr: Buffer;
  exitCode: number;
  /** When the CLI that follows it is killed, ms after its start. */
  killCliAfterMs: number | undefined;
  /** When somebody cancels it, ms after it was accepted. */
  cancelAfterMs: number | undefined;
}

interface Work {
  script: string;
  stdout: string;
  stderr: string;
}

const LONG_EXPIRY = '10m';

/** `folder` is where the commands leave their marks. */
export function planJobs(
  random: SeededRandom,
  options: { jobs: number; nodes: readonly [string, ...string[]]; folder: string },
): JobPlan[] {
  return Array.from({ length: options.jobs }, (_, index) => planJob(random, index, options));
}

function planJob(
  random: SeededRandom,
  index: number,
  { nodes, folder }: { nodes: readonly [string, ...string[]]; folder: string },
): JobPlan {
  const marker = `job-${String(index).padStart(4, '0')}-${random.int(0, 0xffff_ffff).toString(36)}`;
  const how = random.pick(['follow', 'follow', 'follow', 'async', 'async', 'async', 'async', 'broadcast'] as const);
  const lane = random.chance(0.3) ? random.pick(['a', 'b']) : undefined;
  const work = planWork(random, marker);
  const exitCode = random.chance(0.5) ? 0 : random.int(1, 5);
  const mayExpire = random.chance(0.08);
  return {
    marker,
    how,
    nodes: how === 'broadcast' ? nodes : [random.pick(nodes)],
    lane,
    expires: mayExpire ? random.pick([undefined, '300ms']) : LONG_EXPIRY,
    mayExpire,
    command: markedCommand(path.join(folder, marker), work.script, exitCode, lane && path.join(folder, `lane-${lane}`)),
    stdout: Buffer.from(work.stdout),
    stderr: Buffer.from(work.stderr),
    exitCode,
    killCliAfterMs: how === 'follow' && random.chance(0.35) ? random.int(0, 900) : undefined,
    cancelAfterMs: random.chance(0.05) ? random.int(0, 500) : undefined,
  };
}

/** The first thing that the command does is to say that it began, the last to say that it came to its end. */
function markedCommand(mark: string, script: string, exitCode: number, lane: string | undefined): string {
  const inLane = (word: string): string =>
    lane === undefined ? '' : `echo ${word} ${path.basename(mark)} >>${lane}.$FLEET_NODE; `;
  return (
    `echo b >>${mark}.$FLEET_NODE.begun; ${inLane('b')}` +
    `${script}; ` +
    `${inLane('e')}echo e >>${mark}.$FLEET_NODE.done; exit ${exitCode}`
  );
}

function planWork(random: SeededRandom, marker: string): Work {
  switch (random.pick(['true', 'echo', 'echo', 'slow', 'slow', 'lines', 'lines', 'much'])) {
    case 'true':
      return { script: 'true', stdout: '', stderr: '' };
    case 'echo':
      return {
        script: `echo out ${marker}; echo err ${marker} >&2`,
        stdout: `out ${marker}\n`,
        stderr: `err ${marker}\n`,
      };
    case 'slow':
      return planSlow(random);
    case 'lines':
      return planLines(random, 3000);
    default:
      return planLines(random, 140_000);
  }
}

/** A few lines over up to about a second. */
function planSlow(random: SeededRandom): Work {
  const count = random.int(1, 10);
  const lines = Array.from({ length: count }, (_, index) => `${index + 1}`);
  return {
    script: `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo line $i; echo note $i >&2; sleep 0.1; done`,
    stdout: lines.map((line) => `line ${line}\n`).join(''),
    stderr: lines.map((line) => `note ${line}\n`).join(''),
  };
}

/** Numbers on both streams at once: of up to `most` lines (140,000 are about 1 MB). */
function planLines(random: SeededRandom, most: number): Work {
  const out = random.int(1, most);
  const err = random.int(1, Math.ceil(most / 4));
  return {
    script: `seq 7 ${out + 7} & seq 3 ${err + 3} >&2; wait`,
    stdout: sequence(7, out + 7),
    stderr: sequence(3, err + 3),
  };
}

function sequence(first: number, last: number): string {
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}\n`).join('');
}
