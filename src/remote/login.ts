/** `fleet login`: makes a gateway know this person's key, and this home that gateway. */
import { parseInviteCode } from '../protocol/pairing.ts';
import { type Address, formatAddress } from '../shared/address.ts';
import type { Clock } from '../shared/clock.ts';
import { FleetError } from '../shared/errors.ts';
import { personPaths } from '../shared/home.ts';
import { ensurePrivateFolder } from '../shared/private-file.ts';
import { loadOrCreateIdentity, type OwnIdentity } from '../shared/ssh/identity.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../shared/ssh/ssh-key.ts';
import { checkHostKey, connect } from './connect.ts';
import { handshake } from './handshake.ts';
import { type Login, Logins } from './logins.ts';
import { parseTarget } from './target.ts';

export interface LoginOptions {
  home: string;
  /** `[user@]host[:port]`; undefined for the default one. */
  gateway: string | undefined;
  /** From `fleet invite`; undefined to renew what is there. */
  code: string | undefined;
  /** The name that the person asked for; undefined leaves it to `suggestedName` and the gateway. */
  name: string | undefined;
  suggestedName: string;
  /** Goes into the key file. */
  keyComment: string;
  clock: Clock;
}

export interface LoginResult {
  gateway: string;
  name: string;
  role: string;
  /** `SHA256:…` of this person's key, as ssh-keygen -l shows it. */
  fingerprint: string;
  hostKeyFingerprint: string;
  /** End of the token, on the gateway's clock; it is renewed by then. */
  expiresAt: string;
  /** The gateway that commands of this home mean when none is named. */
  isDefault: boolean;
}

/** @throws FleetError `invite_invalid`, `gateway_not_proven`, `not_paired`, `key_revoked`, `gateway_unreachable`, `host_key_changed`, … */
export async function login(options: LoginOptions): Promise<LoginResult> {
  const { home, code, clock } = options;
  const logins = new Logins(home);
  const text = options.gateway ?? logins.default;
  if (text === undefined) {
    throw new FleetError('usage', 'no gateway is given, and this home knows none', {
      hint: 'Say which: fleet login HOST --code CODE',
    });
  }
  const target = parseTarget(text);
  const { address } = target;
  const invite = code === undefined ? undefined : parseInviteCode(code);
  const known = logins.read(address);
  if (known === undefined && invite === undefined) throw codeNeeded(address);
  const { folder, key } = personPaths(home);
  ensurePrivateFolder(home);
  ensurePrivateFolder(folder);
  const identity = loadOrCreateIdentity(key, options.keyComment);
  const connection = await connect({
    target,
    privateKey: identity.privateKey,
    // With a code any key will do here: the code's proof covers it, and a gateway that was set up anew has another one.
    verifyHostKey: (shown) => (known === undefined || invite !== undefined ? undefined : checkHostKey(shown, known)),
    clock,
  });
  try {
    const name = options.name ?? known?.name ?? options.suggestedName;
    const nameRequired = options.name !== undefined;
    const present = await handshake({ connection, address, identity, invite, name, nameRequired, clock });
    logins.save(present);
    if (invite !== undefined || logins.default === undefined) logins.setDefault(address);
    return describe(present, identity, logins);
  } finally {
    connection.agent.destroy();
    connection.ssh.close();
  }
}

function describe(login: Login, { publicKey }: OwnIdentity, logins: Logins): LoginResult {
  return {
    gateway: formatAddress(login.gateway),
    name: login.name,
    role: login.role,
    fingerprint: formatFingerprint(sshPublicKeyBlob(publicKey)),
    hostKeyFingerprint: formatFingerprint(Buffer.from(login.hostKey, 'base64')),
    expiresAt: new Date(login.tokenExpiresAt).toISOString(),
    isDefault: logins.default === formatAddress(login.gateway),
  };
}

function codeNeeded(address: Address): FleetError {
  return new FleetError('not_paired', `this home has not logged in at ${formatAddress(address)}`, {
    hint: 'The first time takes a code; an admin makes one: fleet invite --role operator',
  });
}
