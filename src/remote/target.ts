/** A remote gateway as people name it: `[user@]host[:port]`, as with ssh. */
import { DEFAULT_GATEWAY_PORT } from '../domain/limits.ts';
import { type Address, parseDialAddress } from '../shared/address.ts';
import { FleetError } from '../shared/errors.ts';
import { describeForeign, trimPasted } from '../shared/text.ts';

/** The key alone decides who somebody is; the name goes into the gateway's debug log. */
const DEFAULT_USER = 'fleet';

export interface GatewayTarget {
  user: string;
  address: Address;
}

/** @throws FleetError `usage`. */
export function parseTarget(pasted: string): GatewayTarget {
  const text = trimPasted(pasted);
  const at = text.lastIndexOf('@');
  const user = at < 0 ? DEFAULT_USER : text.slice(0, at);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(user)) {
    const foreign = describeForeign(user, /[A-Za-z0-9_.-]/);
    throw new FleetError(
      'usage',
      `not a user name: ${JSON.stringify(user)}${foreign === undefined ? '' : `: ${foreign}`}`,
      {
        hint: 'Write the gateway as host, user@host or user@host:port.',
      },
    );
  }
  if (at === text.length - 1) {
    throw new FleetError('usage', `not an address: ${JSON.stringify(text)}: no host after the @`, {
      hint: 'Write the gateway as host, user@host or user@host:port.',
    });
  }
  const address = parseDialAddress(text.slice(at + 1), DEFAULT_GATEWAY_PORT);
  return { user, address };
}
