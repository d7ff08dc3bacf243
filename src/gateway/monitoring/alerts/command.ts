/** Runs a receiver's command: the message as JSON on stdin and in variables, without a shell, and killed when it takes too long. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import type { Readable, Writable } from 'node:stream';
import type { Clock } from '../../../shared/clock.ts';
import { systemErrorCode } from '../../../shared/errors.ts';
import { loginUmask } from '../../../shared/login-environment.ts';
import { harmlessJson, stripControl } from '../../../shared/text.ts';
import type { Attempt } from './attempt.ts';
import { type AlertMessage, detailOf, titleOf } from './message.ts';
import type { CommandRequest } from './receivers.ts';

/**
 * How much of the end of stderr goes to the log and to the caller of `alerts test`, characters. It may hold secrets, so viewers
 * see none of it.
 */
const KEPT_STDERR = 200;

interface CommandOptions {
  clock: Clock;
  signal: AbortSignal;
  /** The environment besides the FLEET_ALERT_ variables. */
  env: Readonly<Record<string, string | undefined>>;
}

/** Never rejects. Exit code 0 means delivered; anything else is retried. */
export function runAlertCommand(
  { command, timeoutMs }: CommandRequest,
  id: string,
  message: AlertMessage,
  { clock, signal, env }: CommandOptions,
): Promise<Attempt> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = start(file, args, { ...env, ...variablesOf(id, message) });
    let stderr = '';
    let killed: string | undefined;
    const kill = (why: string): void => {
      killed ??= why;
      // A command that could not be started has no group.
      if (child.pid !== undefined) killGroup(child.pid);
    };
    const abort = (): void => kill('the gateway stopped');
    const timer = clock.after(timeoutMs, () => kill(`it took longer than ${timeoutMs} ms`));
    signal.addEventListener('abort', abort, { once: true });
    const end = (attempt: Attempt): void => {
      timer.cancel();
      signal.removeEventListener('abort', abort);
      child.stderr.destroy();
      resolve(attempt);
    };
    child.once('error', (error) => end({ kind: 'failed', error: `cannot be started: ${systemErrorCode(error)}` }));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-KEPT_STDERR);
    });
    // It need not read its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(`${harmlessJson(message)}\n`);
    // Not `close`: a surviving grandchild would hold the pipes.
    child.once('exit', (code, killedBy) => {
      if (code === 0 && killed === undefined) return end({ kind: 'delivered' });
      const error = killed ?? (code === null ? `killed by ${killedBy}` : `exit code ${code}`);
      const detail = stripControl(stderr.trim());
      setImmediate(() => end({ kind: 'failed', error, ...(detail === '' ? {} : { detail }) }));
    });
    if (signal.aborted) abort();
  });
}

/** Like a login, and in a group of its own, so that its children can be killed with it. */
function start(file: string, args: string[], env: NodeJS.ProcessEnv): ChildProcessByStdio<Writable, null, Readable> {
  const cwd = env.HOME !== undefined && existsSync(env.HOME) ? env.HOME : '/';
  const ownUmask = process.umask(loginUmask());
  try {
    const child = spawn(file, args, { detached: true, stdio: ['pipe', 'ignore', 'pipe'], cwd, env });
    if (child.pid !== undefined) resetPriority(child.pid);
    return child;
  } finally {
    process.umask(ownUmask);
  }
}

function resetPriority(pid: number): void {
  try {
    os.setPriority(pid, 0);
  } catch {
    // Only root may raise a priority again; or the process is gone already.
  }
}

function variablesOf(id: string, message: AlertMessage): Record<string, string> {
  const { type, data } = message;
  const variables = {
    FLEET_ALERT_ID: id,
    FLEET_ALERT_EVENT: type.replace('alert.', ''),
    FLEET_ALERT_RULE: data.rule,
    FLEET_ALERT_SEVERITY: data.severity,
    FLEET_ALERT_NODE: data.node,
    FLEET_ALERT_NODES: data.alerts.map(({ node }) => node).join(' '),
    FLEET_ALERT_COUNT: String(data.count),
    FLEET_ALERT_SINCE: data.since,
    FLEET_ALERT_TITLE: titleOf(message),
  };
  // A mount point may hold characters that a variable cannot, and line breaks.
  const harmless = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, stripControl(value)]));
  return { ...harmless, FLEET_ALERT_TEXT: detailOf(message) };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error;
  }
}
