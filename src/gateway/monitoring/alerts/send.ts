/** One attempt to reach a receiver: an HTTP request or a command, which ends by itself, at its deadline, or when the gateway stops. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import { FLEET_VERSION } from '../../../protocol/version.ts';
import type { Clock } from '../../../shared/clock.ts';
import { systemErrorCode } from '../../../shared/errors.ts';
import { loginUmask } from '../../../shared/login-environment.ts';
import { harmlessJson, stripControl } from '../../../shared/text.ts';
import { type Attempt, attemptOfStatus } from './attempt.ts';
import { type AlertMessage, detailOf, titleOf } from './message.ts';
import type { CommandRequest, WebhookRequest } from './receivers.ts';

/** For connecting, sending, and the head of the answer together, ms. */
const WEBHOOK_DEADLINE_MS = 15_000;
/**
 * How much of the end of stderr goes to the log and to the caller of `alerts test`, characters. It may hold secrets, so viewers
 * see none of it.
 */
const KEPT_STDERR = 200;

interface SendOptions {
  clock: Clock;
  /** Stops the attempt. */
  signal: AbortSignal;
}

/** `start` reports the end, asynchronously, and returns how to stop early. */
function attempt(
  { clock, signal }: SendOptions,
  deadline: { ms: number; error: string },
  start: (end: (result: Attempt) => void) => (error: string) => void,
): Promise<Attempt> {
  return new Promise((resolve) => {
    const stop = start((result) => {
      timer.cancel();
      signal.removeEventListener('abort', abort);
      resolve(result);
    });
    const abort = (): void => stop('the gateway stopped');
    const timer = clock.after(deadline.ms, () => stop(deadline.error));
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
  });
}

/** Never rejects. Follows no redirect, does not read the answer's body, and never names the URL, which may be a secret. */
export function postWebhook(
  { url, headers, body }: WebhookRequest,
  options: SendOptions & { deadlineMs?: number },
): Promise<Attempt> {
  const { clock, deadlineMs = WEBHOOK_DEADLINE_MS } = options;
  return attempt(options, { ms: deadlineMs, error: `no answer within ${deadlineMs} ms` }, (end) => {
    const target = new URL(url);
    const bytes = Buffer.from(body);
    const request = (target.protocol === 'https:' ? https : http).request(target, {
      method: 'POST',
      // Messages are rare: the other side would close a kept connection before the next one.
      agent: false,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'content-length': bytes.length,
        'user-agent': `fleet/${FLEET_VERSION}`,
        ...headers,
      },
    });
    const finish = (result: Attempt): void => {
      request.destroy();
      end(result);
    };
    request.on('error', (error) => finish({ kind: 'failed', error: systemErrorCode(error) ?? 'the connection broke' }));
    request.once('response', (response) => {
      response.on('error', () => undefined);
      finish(attemptOfStatus(response.statusCode ?? 0, response.headers['retry-after'], clock.now()));
    });
    request.end(bytes);
    return (error) => finish({ kind: 'failed', error });
  });
}

/**
 * The message as JSON on stdin and in variables, besides `env`. Never rejects. Exit code 0 means delivered; anything else is retried.
 * Stopping kills the command with everything that it started.
 */
export function runAlertCommand(
  { command, timeoutMs }: CommandRequest,
  id: string,
  message: AlertMessage,
  { env, ...options }: SendOptions & { env: Readonly<Record<string, string | undefined>> },
): Promise<Attempt> {
  return attempt(options, { ms: timeoutMs, error: `it took longer than ${timeoutMs} ms` }, (end) => {
    const child = startCommand(command, { ...env, ...variablesOf(id, message) });
    let stderr = '';
    let stopped: string | undefined;
    const finish = (result: Attempt): void => {
      child.stderr.destroy();
      end(result);
    };
    child.once('error', (error) => finish({ kind: 'failed', error: `cannot be started: ${systemErrorCode(error)}` }));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-KEPT_STDERR);
    });
    // It need not read its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(`${harmlessJson(message)}\n`);
    // Not `close`: a surviving grandchild would hold the pipes.
    child.once('exit', (code, killedBy) => {
      if (code === 0 && stopped === undefined) return finish({ kind: 'delivered' });
      const error = stopped ?? (code === null ? `killed by ${killedBy}` : `exit code ${code}`);
      const detail = stripControl(stderr.trim());
      setImmediate(() => finish({ kind: 'failed', error, ...(detail === '' ? {} : { detail }) }));
    });
    return (error) => {
      stopped ??= error;
      // A command that could not be started has no group.
      if (child.pid !== undefined) killGroup(child.pid);
    };
  });
}

/** Like a login, and in a group of its own, so that its children can be killed with it. */
function startCommand([file = '', ...args]: readonly string[], env: NodeJS.ProcessEnv) {
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
