/** The composition root: the only place that touches the process, its environment, its signals and its end. */
import { existsSync, fstatSync, readFileSync } from 'node:fs';
import os from 'node:os';
import type { JobControl, SignalName, TerminalUse, World } from './cli/context/command.ts';
import { runCli } from './cli/main.ts';
import { isProcessAlive, leavePidOne } from './cli/service/process.ts';
import { systemClock } from './shared/clock.ts';

/** Only observes: Node still prints the error and exits, and a service manager restarts it. */
function onCrash(listener: (error: unknown) => void): void {
  process.on('uncaughtExceptionMonitor', listener);
}

/**
 * Keeps V8's young generation at its initial 1 MB; it would grow to 32 and stay there. A node must be small: each fork copies its page
 * tables, at 0.09 ms a megabyte, and the machine is there for other work.
 */
async function keepSmall(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** Linux only. */
function osBytes(what: 'cmdline' | 'environ'): Buffer | undefined {
  try {
    return readFileSync(`/proc/self/${what}`);
  } catch {
    return undefined;
  }
}

function stdinKind(): 'file' | 'pipe' | 'folder' | 'other' {
  try {
    const stat = fstatSync(0);
    if (stat.isFile() && stat.size > 0) return 'file';
    if (stat.isDirectory()) return 'folder';
    return stat.isFIFO() ? 'pipe' : 'other';
  } catch {
    return 'other';
  }
}

/** Node's start leaves it unchanged, but a listener would not. Unknown without /proc. */
function hangupIgnored(): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    return (BigInt(`0x${mask}`) & 1n) === 1n;
  } catch {
    return false;
  }
}

function jobControl({ leave, comeBack }: TerminalUse): JobControl {
  const stop = (): void => {
    leave();
    // With the default action again the system stops this process for real, unless nobody could continue it.
    process.off('SIGTSTP', stop);
    process.kill(process.pid, 'SIGTSTP');
    process.on('SIGTSTP', stop);
    comeBack();
  };
  process.on('SIGTSTP', stop);
  process.on('SIGCONT', comeBack);
  return {
    stop: () => void process.kill(0, 'SIGTSTP'),
    end: () => {
      process.off('SIGTSTP', stop);
      process.off('SIGCONT', comeBack);
    },
  };
}

function createWorld(): World {
  return {
    env: process.env,
    openStdin: () => process.stdin,
    stdinKind,
    osBytes,
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    random: Math.random,
    pid: process.pid,
    userHome: os.homedir,
    hostname: os.hostname,
    self: { file: process.execPath, args: [...process.execArgv, process.argv[1] ?? ''] },
    isAlive: isProcessAlive,
    reportToParent:
      process.send === undefined
        ? undefined
        : (message) =>
            new Promise((resolve) => {
              // The parent may have exited.
              process.send?.(message, () => resolve());
            }),
    signals: {
      hangupIgnored,
      jobControl,
      listen(names, listener) {
        const onSignal = (name: NodeJS.Signals): void => listener(name as SignalName);
        for (const name of names) process.on(name, onSignal);
        return () => {
          for (const name of names) process.off(name, onSignal);
        };
      },
    },
    services: {
      startGateway: async (options) =>
        (await import('./gateway/main.ts')).startGateway({ ...options, tz: process.env.TZ, onCrash }),
      startNode: async (options) => {
        await keepSmall();
        return (await import('./node/main.ts')).startNode({ ...options, onCrash });
      },
      openRemote: async (options) => (await import('./remote/main.ts')).openRemote(options),
      login: async (options) => (await import('./remote/main.ts')).login(options),
      logout: async (options) => (await import('./remote/main.ts')).logout(options),
    },
  };
}

const world = createWorld();
leavePidOne({
  pid: process.pid,
  argv: process.argv.slice(2),
  self: world.self,
  execve: (file, args) => process.execve?.(file, args, process.env),
  hasShell: existsSync('/bin/sh'),
  warn: (text) => process.stderr.write(text),
});
void runCli(process.argv.slice(2), world).then((exitCode) => process.exit(exitCode));
