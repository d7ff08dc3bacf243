/** `fleet invites revoke`: a code is void from now on. */
import { INVITE_LENGTHS, parseInviteCode } from '../../protocol/pairing.ts';
import { normalizeBase32 } from '../../shared/base32.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const invitesRevokeCommand = defineCommand({
  name: 'invites revoke',
  usage: 'INVITE',
  describe: 'Makes an invite void from now on. Who has joined by it stays.',
  positionals: [{ name: 'INVITE', describe: 'Its id, or the whole code' }],
  options: {},
  examples: [
    ['fleet invites revoke 7k3f', 'by its id'],
    ['fleet invites revoke 7k3f-9m2q-x0zt-4hcv', 'by the code that went to the wrong people'],
  ],
  async execute(context, { positionals }) {
    const typed = normalizeBase32(positionals.INVITE) ?? positionals.INVITE.toLowerCase();
    const id = typed.length > INVITE_LENGTHS.id ? parseInviteCode(typed).id : typed;
    await openGateway(context).revokeInvite(id);
    if (context.json) printJson(context, { id });
    else context.out.write(`invite ${id} is void\n`);
    return EXIT_OK;
  },
});
