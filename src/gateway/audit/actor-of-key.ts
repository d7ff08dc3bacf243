/** Whoever came over SSH, as the audit log names them. */
import type { AuditActor } from '../../domain/audit.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';

export interface KeyHolder {
  publicKey: Buffer;
  remoteAddress: string;
}

/** Name and role are those of a stranger unless told. */
export function actorOfKey({ publicKey, remoteAddress }: KeyHolder, name = 'unknown', role = 'unknown'): AuditActor {
  return { name, role, via: 'ssh', key: formatFingerprint(sshPublicKeyBlob(publicKey)), address: remoteAddress };
}
