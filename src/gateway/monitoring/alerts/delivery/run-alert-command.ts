/** Tells a command: the message as JSON on stdin and in variables, no shell in between, and an end to it in time. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import type { Readable, Writable } from 'node:stream';
import type { Clock } from '../../../../shared/clock.ts';
import { systemErrorCode } from '../../../../shared/errors.ts';
import { loginUmask } from '../../../../shared/login-environment.ts';
import { harmlessJson, stripControl } from '../../../../shared/text.ts';
import { type AlertMessage, detailOf, titleOf } from './alert-message.ts';
import type { Attempt } from './attempt.ts';

/** How much of the end of the command's stderr goes to the log and to the caller of `alerts test`, characters. Viewers see none: it may hold secrets. */
const KEPT_STDERR = 200;

export interface CommandOptions {
  clock: Clock;
  signal: AbortSignal;
  timeoutMs: number;
  /** What it gets besides the FLEET_ALERT_ variables. */
  env: Readonly<Record<string, string | undefined>>;
}

/** Never rejects. Exit code 0 means delivered; anything else is tried again. */
export function runAlertCommand(
  command: readonly string[],
  id: string,
  message: AlertMessage,
  { clock, signal, timeoutMs, env }: CommandOptions,
): Promise<Attempt> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = start(file, args, { ...env, ...variablesOf(id, message) });
    let stderr = '';
    let killed: string | undefined;
    const kill = (why: string): void => {
      killed ??= why;
      // Of what could not be started there is no group.
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
    // It need not read what it is told.
    child.stdin.on('error', () => undefined);
    child.stdin.end(`${harmlessJson(message)}\n`);
    // Not `close`: a grandchild that went on would hold the pipes.
    child.once('exit', (code, killedBy) => {
      if (code === 0 && killed === undefined) return end({ kind: 'delivered' });
      const how = killed ?? (code === null ? `killed by ${killedBy}` : `exit code ${code}`);
      const said = stripControl(stderr.trim());
      setImmediate(() => end({ kind: 'failed', error: how, ...(said === '' ? {} : { detail: said }) }));
    });
    if (signal.aborted) abort();
  });
}

/** As a login would, in a group of its own, so that what it started goes with it. */
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
    // Only root may make it less nice again; or it is gone already.
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
  // A mount point may hold what no variable can, and line breaks that are none of ours.
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
