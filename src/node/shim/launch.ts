/** Starts the commands of runs; nothing else in the shim does. */
import { closeSync } from 'node:fs';
import { execa, type Options } from 'execa';
import { type CommandExit, type CommandLine, StartFailure } from './messages.ts';
import { closePipes, type OpenPipes } from './pipes.ts';

/** The descriptors are the caller's to close. */
interface Launched {
  pid: number;
  exited: Promise<CommandExit>;
  stdoutFd: number;
  stderrFd: number;
  stdinFd: number | null;
}

/** First of the command's held descriptors. Scripts use 3 to 9, and shells allocate from 10 up, skipping used ones. */
const FIRST_HELD_FD = 20;
/** Linux's limit for each string of a command (MAX_ARG_STRLEN of execve(2)), bytes with its NUL. */
const MAX_STRING_BYTES = 128 * 1024;

/**
 * Starts the command in its own session and process group, so that it outlives this process and can be signaled as a whole. It also holds
 * the read ends of its own output: if this process is killed, the command doesn't get SIGPIPE but waits on a full pipe until the next
 * shim reads on.
 * @throws StartFailure `no_such_program` or `spawn_failed`; all descriptors are closed then.
 */
export async function launch(command: CommandLine, open: OpenPipes): Promise<Launched> {
  const { stdout, stderr, stdin, promptFd } = open;
  const [file, ...args] = command.argv;
  const gap = Array<'ignore'>(FIRST_HELD_FD - 3).fill('ignore');
  const stdio = [stdin?.readFd ?? promptFd ?? 'ignore', stdout.writeFd, stderr.writeFd, ...gap];
  const subprocess = execa(file, args, {
    cwd: command.cwd,
    env: command.env,
    extendEnv: false,
    // Execa's types know only descriptors 0 to 2 by number; Node.js and execa itself take any.
    stdio: [...stdio, stdout.readFd, stderr.readFd] as unknown as ['ignore', 'ignore', 'ignore'] & Options['stdio'],
    buffer: false,
    reject: false,
    cleanup: false,
    detached: true,
  });
  const { pid } = subprocess;
  if (pid === undefined) {
    closePipes(open);
    const { code, message } = await subprocess;
    // The folder was checked before, so what is missing is the program.
    if (code === 'ENOENT') throw new StartFailure(`no_such_program: ${file}`);
    if (code === 'E2BIG') throw new StartFailure(`spawn_failed: E2BIG: ${describeExcess(command)}`);
    throw new StartFailure(`spawn_failed: ${code ?? message ?? ''}`);
  }
  closeSync(stdout.writeFd);
  closeSync(stderr.writeFd);
  if (stdin !== null) closeSync(stdin.readFd);
  if (promptFd !== null) closeSync(promptFd);
  return {
    pid,
    exited: subprocess.then(({ exitCode, signal }) => ({ exitCode: exitCode ?? null, signal: signal ?? null })),
    stdoutFd: stdout.readFd,
    stderrFd: stderr.readFd,
    stdinFd: stdin?.writeFd ?? null,
  };
}

/** What was too large for the system, without values of variables. */
function describeExcess({ argv, env }: CommandLine): string {
  const variables = Object.entries(env).filter(([, value]) => value !== undefined);
  const strings = [
    ...argv.map((word, index) => ({ name: `argument ${index}`, bytes: Buffer.byteLength(word) + 1 })),
    ...variables.map(([name, value]) => ({ name, bytes: Buffer.byteLength(`${name}=${value}`) + 1 })),
  ];
  const long = strings.find(({ bytes }) => bytes > MAX_STRING_BYTES);
  if (long !== undefined)
    return `${long.name} takes ${long.bytes} bytes; this system takes ${MAX_STRING_BYTES} (MAX_ARG_STRLEN)`;
  const total = strings.reduce((sum, { bytes }) => sum + bytes, 0);
  return `arguments and environment take ${total} bytes; this system takes a quarter of its stack limit (ulimit -s)`;
}
