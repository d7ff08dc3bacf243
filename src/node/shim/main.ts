/**
 * The shim: a small process that starts the commands of a node and outlives the node's own process, as containerd's and conmon's
 * do for containers. So neither an exit code nor a byte of output is lost when the node is killed or replaced by a newer version, and
 * a fork copies the page tables of a small process. Its arguments: the spool's folder, and the path of its socket.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { closeInheritedFiles, loginUmask } from '../../shared/login-environment.ts';
import { cgroupOf } from '../process/cgroup.ts';
import { openProcessTable } from '../process/process-table.ts';
import { runToolSync } from '../process/run-tool.ts';
import { leaveSession, raiseOpenFiles } from './launch.ts';
import { RunCgroups } from './run-cgroups.ts';
import { createLineLogger, ShimServer } from './shim-server.ts';
import { Supervisor } from './supervisor.ts';

const [folder = '', socket = ''] = process.argv.slice(2);
const logger = createLineLogger((line) => process.stderr.write(line));

// Whoever ends the node's commands does so by their process groups. A signal that is meant for the node, or for all that belongs to it
// (a service manager's stop, Ctrl-C), must not take from the commands the one who follows them.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => server.retire());
}
// Its default is to end the process; with a listener the write itself fails, as on a full disk.
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
  (event) => server.tell(event),
  () => raiseOpenFiles(runToolSync),
);
const server = new ShimServer({ shim, supervisor, clock: systemClock, logger });
void server.closed.then(() => cgroups.close());
await server.listen(socket);
// Tells the one who started this process that it may connect.
process.stdout.write('ready\n');
