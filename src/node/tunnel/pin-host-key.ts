/** Which host key a node accepts: the pinned one and no other. */
import { type Address, formatAddress } from '../../shared/address.ts';
import { FleetError } from '../../shared/errors.ts';
import { formatFingerprint } from '../../shared/ssh/ssh-key.ts';
import type { NodeState } from './node-state.ts';

/**
 * Before the first contact every key is taken, for then the invite's proof or the comparison code vouches for it.
 * @throws FleetError `host_key_changed` when the pinned address shows another key, `wrong_gateway` when another address does.
 */
export function checkHostKey(shown: Buffer, address: Address, state: NodeState | undefined): void {
  if (state === undefined || shown.equals(Buffer.from(state.hostKey, 'base64'))) return;
  const pinned = formatFingerprint(Buffer.from(state.hostKey, 'base64'));
  const facts = { shown: formatFingerprint(shown), pinned };
  if (formatAddress(address) === formatAddress(state.gateway)) {
    throw new FleetError(
      'host_key_changed',
      `${formatAddress(address)} shows the host key ${facts.shown}, but ${pinned} is pinned`,
      {
        hint: 'Somebody may be in between. If the gateway was really set up anew, pair again under a new --name.',
        facts,
      },
    );
  }
  throw new FleetError(
    'wrong_gateway',
    `this node is paired with the gateway at ${formatAddress(state.gateway)}, not with ${formatAddress(address)}`,
    {
      hint: 'One machine can serve two gateways: give the second node another --name.',
      facts,
    },
  );
}
