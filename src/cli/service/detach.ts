/** `--detach`: starts the same command again in the background, and waits until that says that it is ready, or why not. */
import { spawn } from 'node:child_process';
import { type ErrorCode, FleetError } from '../../shared/errors.ts';
import { type CliContext, type DetachedMessage, printJson } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';

/** Resolves when the other process is ready. @throws FleetError why it is not; `logFile` is where a person looks then. */
export async function detach(context: CliContext, logFile: string): Promise<number> {
  const { self, argv } = context;
  const args = [...self.args, ...argv.filter((arg) => arg !== '--detach')];
  const child = spawn(self.file, args, { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  try {
    const { readyLine, info } = await new Promise<{ readyLine: string; info: object }>((resolve, reject) => {
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
        const { code, message: text, hint } = told.failed;
        reject(new FleetError(code as ErrorCode, text, { hint }));
      });
    });
    if (context.json) printJson(context, info);
    else context.out.write(`${readyLine}\n`);
    return EXIT_OK;
  } finally {
    if (child.connected) child.disconnect();
    child.unref();
  }
}
