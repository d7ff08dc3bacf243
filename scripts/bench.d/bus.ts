/**
 * What the command bus takes and carries: durable submissions, the way of one `true`, and jobs a second over one and many nodes.
 * Beside the time stands the processor time, which says more on a machine that has other things to do.
 */

import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { openRequest, requestJson } from '../../src/shared/http/request.ts';
import { FleetWorld } from '../../test/support/fleet-processes.ts';
import { measureFloor } from './machine-floor.ts';

const NODES = Number(process.argv[2] ?? 50);
/** The first ones are not counted: a gateway runs for months, and V8 compiles in the first seconds. */
const WARM_UP = 2_000;
const SUBMISSIONS = [
  { parallel: 1, count: 2_000 },
  { parallel: 64, count: 20_000 },
];
const LATENCY_RUNS = 300;

const world = await FleetWorld.create();
const agent = new http.Agent({ keepAlive: true });
const socketPath = path.join(world.home, 'gateway.sock');

function submit(target: object, options: object = {}): Promise<unknown> {
  const body = { kind: 'shell', command: 'true', target, ...options };
  return requestJson({ agent, socketPath, method: 'POST', path: '/v1/jobs', body });
}

/** Resolves when the job has ended. */
async function runToEnd(target: object): Promise<void> {
  const body = { kind: 'shell', command: 'true', target, follow: true };
  const response = await openRequest({ agent, socketPath, method: 'POST', path: '/v1/jobs', body });
  let text = '';
  for await (const chunk of response) text += chunk;
  if (!text.includes('"exitCode":0')) throw new Error(`a run did not succeed: ${text}`);
}

/** Calls `work` `count` times, `parallel` at once; calls a second. */
async function rate(count: number, parallel: number, work: (index: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const begun = performance.now();
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return (count / (performance.now() - begun)) * 1000;
}

/** The middle one, and how many times `floorMs` it is. */
function inTimes(values: number[], floorMs: number): string {
  return (Number(quantile(values, 0.5)) / floorMs).toFixed(1);
}

/** Processor time that the process has used, ms; in steps of 10 (proc_pid_stat(5): utime and stime, in ticks). */
function processorMs({ pid }: ChildProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function quantile(values: number[], share: number): string {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(2);
}

try {
  const gateway = (await world.startGateway()).child;
  const sleeper = await world.startNode('sleeper');
  sleeper.child.kill('SIGTERM');
  await sleeper.exited;
  const waiting = { node: 'sleeper' };
  await rate(WARM_UP, 64, () => submit(waiting, { expiresMs: 3_600_000 }));
  for (const { parallel, count } of SUBMISSIONS) {
    const before = processorMs(gateway);
    const perSecond = await rate(count, parallel, () => submit(waiting, { expiresMs: 3_600_000 }));
    const each = ((processorMs(gateway) - before) / count).toFixed(2);
    console.log(`durable submissions, ${parallel} at once: ${Math.round(perSecond)}/s, ${each} ms of processor each`);
  }

  const node = (await world.startNode('node-1')).child;
  const times: number[] = [];
  let before = { gateway: 0, node: 0 };
  for (let index = -20; index < LATENCY_RUNS; index += 1) {
    if (index === 0) before = { gateway: processorMs(gateway), node: processorMs(node) };
    const begun = performance.now();
    await runToEnd({ node: 'node-1' });
    if (index >= 0) times.push(performance.now() - begun);
  }
  const { spawnMs, exitMs, syncMs } = measureFloor(world.folder);
  const floorMs = exitMs + 4 * syncMs;
  console.log(
    `the machine alone: shell started in ${spawnMs.toFixed(2)} ms, over after ${exitMs.toFixed(2)}; 4 KiB on the disk ${syncMs.toFixed(2)} ms; ` +
      `a shell and the four waits of a run ${floorMs.toFixed(2)} ms`,
  );
  console.log(
    `submit → exit of true, one after another: p50 ${quantile(times, 0.5)} ms, p99 ${quantile(times, 0.99)} ms; the first is ${inTimes(times, floorMs)} times that`,
  );
  const used = [processorMs(gateway) - before.gateway, processorMs(node) - before.node];
  console.log(`processor per run: gateway, node: ${used.map((ms) => (ms / LATENCY_RUNS).toFixed(2)).join(', ')} ms`);
  console.log(`jobs over 1 node, 16 at once: ${Math.round(await rate(600, 16, () => runToEnd({ node: 'node-1' })))}/s`);

  if (NODES > 1) {
    const names = Array.from({ length: NODES }, (_, index) => `many-${index + 1}`);
    for (const name of names) await world.startNode(name);
    const perSecond = await rate(NODES * 20, NODES * 2, (index) => runToEnd({ node: names[index % NODES] ?? '' }));
    console.log(`jobs over ${NODES} nodes (all on this machine), ${NODES * 2} at once: ${Math.round(perSecond)}/s`);
  }
} finally {
  agent.destroy();
  await world.close();
}
