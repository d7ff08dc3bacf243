/** Runs the gateway or a node: in the foreground until it is asked to stop, or in the background with --detach. */
import { type ChildProcess, spawn } from 'node:child_process';
import { sleep } from '../../shared/clock.ts';
import { type ErrorCode, FleetError } from '../../shared/errors.ts';
import { explainHomeFault } from '../../shared/private-file.ts';
import type { CliContext, DetachedMessage } from '../context/command.ts';
import type { BegunService, RunningService, ServiceConsole } from '../context/services.ts';
import { EXIT_OF_SIGNAL, EXIT_OK, exitCodeOfError } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

/** After this time, a service that is not up reports why to the process waiting with --detach, ms. */
const REPORT_TROUBLE_AFTER_MS = 10_000;

interface ServeOptions {
  /** Calls `begun` once the service can handle SIGHUP, which may be before it is up. */
  start(signal: AbortSignal, console: ServiceConsole, begun: (service: BegunService) => void): Promise<RunningService>;
  /**
   * The effect of SIGHUP: reconnect, or reload the configuration. A service started in a terminal does not reload: its terminal has
   * closed, so it stops as on SIGTERM.
   */
  onHangup: 'reconnect' | 'reload';
}

/** Resolves with the exit code once the service has ended. @throws FleetError if it cannot start, or stops by itself. */
export async function serve(context: CliContext, options: ServeOptions): Promise<number> {
  const abort = new AbortController();
  const started = new AbortController();
  const asked = Promise.withResolvers<'asked'>();
  const forced = Promise.withResolvers<number>();
  let begun: BegunService | undefined;
  let service: RunningService | undefined;
  let shouldReload = false;
  const unlisten = context.signals.listen(['SIGINT', 'SIGTERM', 'SIGHUP'], (name) => {
    if (name === 'SIGHUP' && options.onHangup === 'reconnect') return (service ?? begun)?.reconnect?.();
    if (name === 'SIGHUP' && !context.err.isTerminal) {
      // It may have read the configuration already, and cannot reload before it is up.
      shouldReload = service === undefined;
      return service?.reload?.();
    }
    if (abort.signal.aborted) return forced.resolve(EXIT_OF_SIGNAL[name]);
    abort.abort();
    asked.resolve('asked');
  });
  const run = async (): Promise<number> => {
    try {
      // A detached process has no terminal, only its log file.
      const console = context.reportToParent === undefined ? context.err : undefined;
      service = await options.start(abort.signal, console, (early) => {
        begun = early;
        void reportTrouble(context, early, started.signal);
      });
      started.abort();
    } catch (error) {
      started.abort();
      if (abort.signal.aborted) return EXIT_OK;
      throw error;
    }
    if (shouldReload) service.reload?.();
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
    await context.reportToParent?.({ failed: failure.toJSON(), exitCode: exitCodeOfError(failure.code) });
    throw failure;
  } finally {
    unlisten();
  }
}

async function reportTrouble(context: CliContext, service: BegunService, started: AbortSignal): Promise<void> {
  if (context.reportToParent === undefined) return;
  await sleep(context.clock, REPORT_TROUBLE_AFTER_MS, started);
  const trouble = started.aborted ? undefined : service.trouble?.();
  if (trouble !== undefined) await context.reportToParent({ trying: trouble.toJSON() });
}

async function announce(context: CliContext, { readyLine, info, notice }: RunningService): Promise<void> {
  if (notice !== undefined) await context.reportToParent?.({ note: `${notice}\n` });
  const message: DetachedMessage = { ready: { readyLine, info: { pid: context.pid, ...info } } };
  await context.reportToParent?.(message);
  if (context.json) printJson(context, { pid: context.pid, ...info });
  else context.out.write(`${readyLine}\n`);
}

/**
 * Starts the same command in the background. Resolves when it is ready, or was stopped by Ctrl-C. @throws FleetError if it is not; the hint
 * names `logFile`. A process that reports that it is still trying is left running.
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
          hint: `See ${logFile}`,
        }),
      );
    });
    child.on('message', (message) => {
      const report = message as DetachedMessage;
      if ('ready' in report) return resolve(report.ready);
      if ('note' in report) return context.err.write(report.note);
      const { code, message: text, hint } = 'trying' in report ? report.trying : report.failed;
      const goesOn = 'trying' in report ? '; still trying in the background (stop: fleet node down)' : '';
      reject(new FleetError(code as ErrorCode, `${text}${goesOn}`, { hint }));
    });
  });
}
