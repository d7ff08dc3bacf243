/** One run of the command line: parses argv, executes the command, and turns the result into text and an exit code. */
import path from 'node:path';
import type { GatewayTransport } from '../client/transport.ts';
import { FleetError } from '../shared/errors.ts';
import { explainHomeFault } from '../shared/private-file.ts';
import { REPLACEMENT } from '../shared/text.ts';
import { parseCommandLine } from './args/parse-command-line.ts';
import { scanArgs } from './args/scan-args.ts';
import { requireExactText } from './args/values.ts';
import { COMMANDS } from './commands.ts';
import { type CliContext, GatewayTime, GLOBAL_OPTIONS, type World } from './context/command.ts';
import { EXIT_OK, EXIT_STDOUT_CLOSED, EXIT_USAGE, exitCodeOfError } from './output/exit-code.ts';
import { openOutputPort, printError } from './output/print.ts';

/** Resolves with the exit code once everything is written. Never rejects. */
export async function runCli(argv: readonly string[], world: World): Promise<number> {
  const out = openOutputPort(world.stdout, 'stdout', world.env);
  const err = openOutputPort(world.stderr, 'stderr', world.env);
  let how: { json: boolean; debug: boolean } | undefined;
  let home = '';
  let exitCode: number;
  try {
    requireExactText(argv, world);
    const parsed = await parseCommandLine(argv, COMMANDS);
    if (parsed.kind === 'help') {
      (parsed.isError ? err : out).write(parsed.text);
      exitCode = parsed.isError ? EXIT_USAGE : EXIT_OK;
    } else {
      const { options } = parsed.invocation;
      how = { json: options.json === true, debug: options.debug === true };
      home = resolveHome(world, textOf(options.home));
      const remotes = new Map<string, Promise<GatewayTransport>>();
      const openRemote = (gateway: string): Promise<GatewayTransport> => {
        const opened = remotes.get(gateway) ?? world.services.openRemote({ home, gateway });
        remotes.set(gateway, opened);
        return opened;
      };
      const context: CliContext = {
        ...world,
        clock: new GatewayTime(world.clock),
        out,
        err,
        argv,
        json: how.json,
        home,
        gateway: textOf(options.gateway),
        openRemote,
        configFile: textOf(options.config) ?? (world.env.FLEET_CONFIG || undefined),
      };
      exitCode = await parsed.command.execute(context, parsed.invocation, COMMANDS).finally(() => {
        // If opening one failed, the command has reported it.
        for (const opened of remotes.values()) {
          void opened.then(
            (transport) => transport.close(),
            () => undefined,
          );
        }
      });
    }
    await out.flush();
  } catch (error) {
    const failure = explainHomeFault(error, home);
    exitCode = exitCodeOfError(failure.code);
    how ??= guessFlags(argv);
    printError(failure, { out, err, ...how });
    await out.flush();
  }
  if (out.gone.aborted) {
    const { reason } = out.gone as { reason: unknown };
    if (reason instanceof FleetError) {
      printError(reason, { out, err, debug: how?.debug ?? false, json: false });
      exitCode = exitCodeOfError(reason.code);
    } else if (exitCode === EXIT_OK) {
      exitCode = EXIT_STDOUT_CLOSED;
    }
  }
  await err.flush();
  return exitCode;
}

/** Whether --json and --debug are set, even if the rest is invalid. */
function guessFlags(argv: readonly string[]): { json: boolean; debug: boolean } {
  const { options } = scanArgs(argv, GLOBAL_OPTIONS);
  const has = (wanted: string): boolean => options.some(({ name }) => name === wanted);
  return { json: has('json'), debug: has('debug') };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The home folder: the flag, else FLEET_HOME, else ~/.fleet. @throws FleetError `usage` if its path is not UTF-8. */
function resolveHome(world: World, flag: string | undefined): string {
  const named = flag ?? (world.env.FLEET_HOME || undefined);
  const home = path.resolve(named ?? path.join(world.userHome(), '.fleet'));
  // What was named is exact, so it comes from the current folder or the user's home.
  if (home.includes(REPLACEMENT) && !named?.includes(REPLACEMENT)) {
    throw new FleetError('usage', 'the path of the home folder is not UTF-8', { hint: 'Choose another: --home DIR' });
  }
  return home;
}
