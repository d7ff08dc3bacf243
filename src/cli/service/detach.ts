/** `--detach`: starts the same command again in the background, and waits until that says that it is ready, or why not. */
import { type ChildProcess, spawn } from 'node:child_process';
import { type ErrorCode, FleetError } from '../../shared/errors.ts';
import { type CliContext, type DetachedMessage, printJson } from '../context.ts';
import { EXIT_OF_SIGNAL, EXIT_OK } from '../exit-code.ts';

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
