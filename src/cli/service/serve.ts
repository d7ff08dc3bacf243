/** Runs a long-lived part of fleet in the foreground: says when it is ready, and ends it in order when asked to. */

import { type ChildProcess, spawn } from 'node:child_process';
import { sleep } from '../../shared/clock.ts';
import { type ErrorCode, FleetError } from '../../shared/errors.ts';
import { explainHomeFault } from '../../shared/home-owner.ts';
import type { BegunService, CliContext, DetachedMessage, RunningService, ServiceConsole } from '../context/context.ts';
import { EXIT_OF_SIGNAL, EXIT_OK, exitCodeOfError } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

/** A service that is not up after this time says why to the one who waits for it with --detach, ms. */
const TELL_TROUBLE_AFTER_MS = 10_000;

export interface ServeOptions {
  /** `begun` tells, if it can be told before it is up, of the one that a SIGHUP is meant for. */
  start(signal: AbortSignal, console: ServiceConsole, begun: (service: BegunService) => void): Promise<RunningService>;
  /**
   * What SIGHUP means: a new connection, or to read the configuration anew. The latter not for who was started in a terminal: it has
   * gone, and so does the service, as at SIGTERM.
   */
  onHangup: 'reconnect' | 'reload';
}

/** Resolves with the exit code once the service has ended. @throws FleetError why it could not start, or stopped by itself. */
export async function serve(context: CliContext, options: ServeOptions): Promise<number> {
  const abort = new AbortController();
  const started = new AbortController();
  const asked = Promise.withResolvers<'asked'>();
  const forced = Promise.withResolvers<number>();
  let begun: BegunService | undefined;
  let service: RunningService | undefined;
  let toReload = false;
  const unlisten = context.signals.listen(['SIGINT', 'SIGTERM', 'SIGHUP'], (name) => {
    if (name === 'SIGHUP' && options.onHangup === 'reconnect') return (service ?? begun)?.reconnect?.();
    if (name === 'SIGHUP' && !context.err.isTerminal) {
      // It may have read the configuration already, and cannot do so again before it is up.
      toReload = service === undefined;
      return service?.reload?.();
    }
    if (abort.signal.aborted) return forced.resolve(EXIT_OF_SIGNAL[name]);
    abort.abort();
    asked.resolve('asked');
  });
  const run = async (): Promise<number> => {
    try {
      // Whoever waits for a detached process reads its log file, and has closed its terminal.
      const console = context.tellParent === undefined ? context.err : undefined;
      service = await options.start(abort.signal, console, (early) => {
        begun = early;
        void tellTrouble(context, early, started.signal);
      });
      started.abort();
    } catch (error) {
      started.abort();
      if (abort.signal.aborted) return EXIT_OK;
      throw error;
    }
    if (toReload) service.reload?.();
    if (!abort.signal.aborted) await announce(context, service);
    const end = await Promise.race([service.ended, asked.promise]);
    await service.close();
    if (end instanceof FleetError) throw end;
    return EXIT_OK;
  };
  try {
    return await Promise.race([run(), forced.promise]);
  } catch (error) {
    const failure = explainHomeFault(error, context.home);
    await context.tellParent?.({ failed: failure.toJSON(), exitCode: exitCodeOfError(failure.code) });
    throw failure;
  } finally {
    unlisten();
  }
}

async function tellTrouble(context: CliContext, service: BegunService, started: AbortSignal): Promise<void> {
  if (context.tellParent === undefined) return;
  await sleep(context.clock, TELL_TROUBLE_AFTER_MS, started);
  const trouble = started.aborted ? undefined : service.trouble?.();
  if (trouble !== undefined) await context.tellParent({ trying: trouble.toJSON() });
}

async function announce(context: CliContext, { readyLine, info, notice }: RunningService): Promise<void> {
  if (notice !== undefined) await context.tellParent?.({ note: `${notice}\n` });
  const message: DetachedMessage = { ready: { readyLine, info: { pid: context.pid, ...info } } };
  await context.tellParent?.(message);
  if (context.json) printJson(context, { pid: context.pid, ...info });
  else context.out.write(`${readyLine}\n`);
}

/**
 * Resolves when the other process is ready, or has been ended by Ctrl-C. @throws FleetError why it is not; `logFile` is where a person
 * looks then. A process that has not got anywhere yet, and says so, is left alone: it goes on trying.
 */
export async function detach(context: CliContext, logFile: string): Promise<number> {
  const { self, argv } = context;
  const args = [...self.args, ...argv.filter((arg) => arg !== '--detach')];
  const child = spawn(self.file, args, { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  let endedBy: number | undefined;
  const unlisten = context.signals.listen(['SIGINT', 'SIGTERM', 'SIGHUP'], (name) => {
    child.kill(endedBy === undefined ? 'SIGTERM' : 'SIGKILL');
    endedBy ??= EXIT_OF_SIGNAL[name];
  });
  try {
    const { readyLine, info } = await readiness(context, child, logFile);
    if (context.json) printJson(context, info);
    else context.out.write(`${readyLine}\n`);
    return EXIT_OK;
  } catch (error) {
    if (endedBy !== undefined) return endedBy;
    throw error;
  } finally {
    unlisten();
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function readiness(
  context: CliContext,
  child: ChildProcess,
  logFile: string,
): Promise<{ readyLine: string; info: object }> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new FleetError('internal', `cannot start a process: ${error.message}`, { cause: error }));
    });
    child.once('exit', (code, signal) => {
      const how = signal === null ? `exit code ${code}` : signal;
      reject(
        new FleetError('internal', `the process ended before it was ready (${how})`, {
          hint: `Look into ${logFile}`,
        }),
      );
    });
    child.on('message', (message) => {
      const told = message as DetachedMessage;
      if ('ready' in told) return resolve(told.ready);
      if ('note' in told) return context.err.write(told.note);
      const { code, message: text, hint } = 'trying' in told ? told.trying : told.failed;
      const goesOn = 'trying' in told ? '; still trying in the background (stop: fleet node down)' : '';
      reject(new FleetError(code as ErrorCode, `${text}${goesOn}`, { hint }));
    });
  });
}
