/** One run of the command line: understands argv, executes the command, and turns whatever happened into words and an exit code. */
import { FleetError } from '../shared/errors.ts';
import { explainHomeFault } from '../shared/home-owner.ts';
import { requireExactText } from './args/exact-text.ts';
import { GLOBAL_OPTIONS } from './args/global-options.ts';
import { parseCommandLine } from './args/parse-command-line.ts';
import { scanArgs } from './args/scan-args.ts';
import { type CliContext, resolveHome, type World } from './context.ts';
import { EXIT_OK, EXIT_STDOUT_CLOSED, EXIT_USAGE, exitCodeOfError } from './exit-code.ts';
import { Remotes } from './gateway-choice.ts';
import { openOutputPort } from './output-port.ts';
import { printError } from './print-error.ts';

/** Resolves with the exit code, once everything is written. Never rejects. */
export async function runCli(argv: readonly string[], world: World): Promise<number> {
  const out = openOutputPort(world.stdout, 'stdout', world.env);
  const err = openOutputPort(world.stderr, 'stderr', world.env);
  let how = guessFlags(argv);
  let home = '';
  let exitCode: number;
  try {
    requireExactText(argv, world);
    const parsed = await parseCommandLine(argv);
    if (parsed.kind === 'help') {
      (parsed.isError ? err : out).write(parsed.text);
      exitCode = parsed.isError ? EXIT_USAGE : EXIT_OK;
    } else {
      const { options } = parsed.invocation;
      how = { json: options.json === true, debug: options.debug === true };
      home = resolveHome(world, textOf(options.home));
      const remotes = new Remotes((gateway) => world.services.openRemote({ home, gateway }));
      const context: CliContext = {
        ...world,
        out,
        err,
        argv,
        json: how.json,
        home,
        gateway: textOf(options.gateway),
        remotes,
        configFile: textOf(options.config) ?? (world.env.FLEET_CONFIG || undefined),
      };
      exitCode = await parsed.command.execute(context, parsed.invocation).finally(() => remotes.close());
    }
    await out.flush();
  } catch (error) {
    const failure = explainHomeFault(error, home);
    exitCode = exitCodeOfError(failure.code);
    printError(failure, { out, err, ...how });
    await out.flush();
  }
  if (out.gone.aborted) {
    const { reason } = out.gone as { reason: unknown };
    if (reason instanceof FleetError) {
      printError(reason, { out, err, debug: how.debug, json: false });
      exitCode = exitCodeOfError(reason.code);
    } else if (exitCode === EXIT_OK) {
      exitCode = EXIT_STDOUT_CLOSED;
    }
  }
  await err.flush();
  return exitCode;
}

/** Whether --json and --debug were meant, even when the rest cannot be understood. */
function guessFlags(argv: readonly string[]): { json: boolean; debug: boolean } {
  const { options } = scanArgs(argv, GLOBAL_OPTIONS);
  const has = (wanted: string): boolean => options.some(({ name }) => name === wanted);
  return { json: has('json'), debug: has('debug') };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
