/** Options that every command has, before or after its name. */
import type { OptionTable } from '../command.ts';

export const GLOBAL_OPTIONS = {
  home: { type: 'string', placeholder: 'DIR', describe: 'Folder that holds everything (FLEET_HOME, ~/.fleet)' },
  config: { type: 'string', placeholder: 'FILE', describe: 'Config file (FLEET_CONFIG, HOME/config.yaml)' },
  gateway: {
    type: 'string',
    placeholder: '[USER@]HOST[:PORT]',
    describe: 'A gateway elsewhere, after fleet login (FLEET_GATEWAY)',
  },
  json: { type: 'boolean', describe: 'Print one JSON document' },
  debug: { type: 'boolean', describe: 'Show the stack of an error' },
  help: { type: 'boolean', alias: 'h', describe: 'Show this help' },
} as const satisfies OptionTable;
