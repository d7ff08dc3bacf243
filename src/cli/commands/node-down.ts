/** `fleet node down`: ends a node on this machine. */
import { NodeControlClient } from '../../client/node-control-client.ts';
import { FleetError } from '../../shared/errors.ts';
import { defineCommand } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { findNodeProfile } from '../service/node-profile.ts';
import { stopProcess, untilGone } from '../service/process.ts';

export const nodeDownCommand = defineCommand({
  name: 'node down',
  usage: '[OPTIONS]',
  describe: 'Ends the node on this machine in order, and waits until it is gone. Commands that run go on.',
  positionals: [],
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'Which one, when there are several' },
    forget: { type: 'boolean', describe: 'Leave the fleet: the gateway forgets this node and its key' },
  },
  examples: [
    ['fleet node down', 'the only one'],
    ['fleet node down --name pi-7', 'one of several'],
    ['fleet node down --forget', 'for good, such as at the end of a container'],
  ],
  async execute(context, { options }) {
    let pid: number | null = null;
    try {
      const { profile, paths } = findNodeProfile(context.home, options.name);
      const control = new NodeControlClient({ socketPath: paths.socket, profile });
      if (options.forget) {
        // Asked once: of a connection that was cut nobody knows whether the gateway was told.
        pid = (await control.leave()).pid;
        await untilGone(context, pid, `node ${profile}`);
      } else {
        pid = await stopProcess(context, () => control.shutdown(), `node ${profile}`);
      }
    } catch (error) {
      // Down is where it was asked to be; a name that does not exist is still a mistake.
      const isDown =
        error instanceof FleetError &&
        !options.forget &&
        (error.code === 'not_running' || (error.code === 'not_found' && options.name === undefined));
      if (!isDown) throw error;
      if (!context.json) context.err.write('node is not running\n');
    }
    if (context.json) printJson(context, { pid });
    return EXIT_OK;
  },
});
