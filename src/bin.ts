#!/usr/bin/env node
/** The composition root: the only place that touches the process, its environment, its signals and its end. */
import os from 'node:os';
import type { SignalName, World } from './cli/context.ts';
import { runCli } from './cli/main.ts';
import { isProcessAlive } from './cli/service/process-alive.ts';
import { systemClock } from './shared/clock.ts';

/** Only listens: Node still prints the error and ends the process, and a service manager starts it again. */
function onCrash(listener: (error: unknown) => void): void {
  process.on('uncaughtExceptionMonitor', listener);
}

function createWorld(): World {
  return {
    env: process.env,
    openStdin: () => process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    random: Math.random,
    pid: process.pid,
    userHome: os.homedir,
    hostname: os.hostname,
    self: { file: process.execPath, args: [...process.execArgv, process.argv[1] ?? ''] },
    isAlive: isProcessAlive,
    tellParent:
      process.send === undefined
        ? undefined
        : (message) =>
            new Promise((resolve) => {
              // A parent that has gone does not want to know.
              process.send?.(message, () => resolve());
            }),
    signals: {
      listen(names, listener) {
        const onSignal = (name: NodeJS.Signals): void => listener(name as SignalName);
        for (const name of names) process.on(name, onSignal);
        return () => {
          for (const name of names) process.off(name, onSignal);
        };
      },
    },
    services: {
      startGateway: async (options) => (await import('./gateway/main.ts')).startGateway({ ...options, onCrash }),
      startNode: async (options) => (await import('./node/main.ts')).startNode({ ...options, onCrash }),
    },
  };
}

void runCli(process.argv.slice(2), createWorld()).then((exitCode) => process.exit(exitCode));
