/**
 * The shim: a small process that starts a node's commands and outlives the node's own process, so that neither an exit code nor output is
 * lost when that is killed or updated, and a fork copies few page tables (docs/adr/0011). Arguments: the spool's folder, the socket's path.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { boundLogLine, type Logger } from '../../shared/logger.ts';
import { closeInheritedFiles, loginUmask } from '../../shared/login-environment.ts';
import { cgroupOf } from '../process/cgroup.ts';
import { openProcessTable } from '../process/process-table.ts';
import { runToolSync } from '../process/run-tool.ts';
import { leaveSession, raiseOpenFiles } from './resources.ts';
import { RunCgroups } from './run-cgroups.ts';
import { ShimServer } from './shim-server.ts';
import { Supervisor } from './supervisor.ts';

const [folder = '', socket = ''] = process.argv.slice(2);
const logger = createLineLogger((line) => process.stderr.write(line));

// Commands are ended by process group. A signal for the node, or for everything in its service or terminal, must not end their supervisor.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => server.retire());
}
// Ends the process by default; with a listener, the write fails instead, as on a full disk.
process.on('SIGXFSZ', () => {});

closeInheritedFiles();
process.umask(loginUmask());
leaveSession(runToolSync);

const shim = randomUUID();
const cgroups = new RunCgroups(shim, logger, cgroupOf('self'));
const supervisor = new Supervisor(
  {
    processes: openProcessTable(),
    cgroups,
    clock: systemClock,
    logger,
    logPath: (run) => join(folder, 'logs', `${run}.log`),
    pipePath: (name) => join(folder, 'pipes', name),
  },
  (event) => server.report(event),
  () => raiseOpenFiles(runToolSync),
);
const server = new ShimServer({ shim, supervisor, clock: systemClock, logger });
void server.closed.then(() => cgroups.close());
await server.listen(socket);
// The parent may connect now.
process.stdout.write('ready\n');

/** One JSON object per line, warnings and errors only: this process must stay small. */
function createLineLogger(write: (line: string) => void, bindings: object = {}): Logger {
  const log =
    (level: string) =>
    (facts: object, message: string): void => {
      const plain = Object.entries({ ...bindings, ...facts }).map(([name, value]) => [
        name,
        value instanceof Error ? `${value.name}: ${value.message}` : value,
      ]);
      const record = { time: new Date().toISOString(), level, ...Object.fromEntries(plain), msg: message };
      write(boundLogLine(`${JSON.stringify(record)}\n`));
    };
  return {
    debug: () => {},
    info: () => {},
    warn: log('warn'),
    error: log('error'),
    child: (facts) => createLineLogger(write, { ...bindings, ...facts }),
  };
}
