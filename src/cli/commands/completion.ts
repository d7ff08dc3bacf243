/** `fleet completion`: prints the script that makes a shell complete `fleet`. */

import { COMPLETION_SCRIPTS } from '../completion-scripts.ts';
import { defineCommand } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';

export const completionCommand = defineCommand({
  name: 'completion',
  usage: 'bash|zsh|fish',
  describe: 'Prints a script that makes a shell complete commands, options, and the names of nodes and jobs.',
  positionals: [{ name: 'SHELL', describe: 'Which shell', choices: ['bash', 'zsh', 'fish'] }],
  options: {},
  examples: [
    ['source <(fleet completion bash)', 'for this bash only'],
    ['fleet completion fish > ~/.config/fish/completions/fleet.fish', 'for every fish'],
  ],
  async execute(context, { positionals }) {
    context.out.write(COMPLETION_SCRIPTS[positionals.SHELL as keyof typeof COMPLETION_SCRIPTS]);
    return EXIT_OK;
  },
});
