/**
 * The pairing handshake: what is signed and keyed, byte by byte. Pure; both sides compute the same.
 *
 * The node's nonce is a commitment, SHA-256 of an `opening` that it reveals only in the second message. So neither side,
 * nor anybody between them, can search for values that make the short comparison codes of two sessions equal: each must
 * fix its own share before it sees the other's (the numeric comparison of Bluetooth Core 5.4, vol. 3 part H, 2.3.5.6.2).
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { normalizeBase32 } from '../shared/base32.ts';
import { FleetError } from '../shared/errors.ts';
import { describeForeign, trimPasted } from '../shared/text.ts';

const PURPOSE = 'fleet-pair-v1';
export const NONCE_BYTES = 32;

const INVITE_ID_LENGTH = 4;
/**
 * 12 characters of base32 are 60 bits: out of reach within an invite's minutes, even for an attacker who got the gateway's proof
 * and guesses offline. Longer-lived invites get 24, 120 bits: out of reach for good.
 */
const INVITE_SECRET_LENGTH = 12;
const LONG_INVITE_SECRET_LENGTH = 24;
/** From here on an invite gets the long secret, ms. */
export const LONG_INVITE_FROM_MS = 3_600_000;
export const INVITE_LENGTHS = {
  id: INVITE_ID_LENGTH,
  secret: INVITE_SECRET_LENGTH,
  longSecret: LONG_INVITE_SECRET_LENGTH,
} as const;

export interface Transcript {
  /** The gateway's SSH host key as each side sees it, wire format of RFC 8709 section 4. */
  hostKey: Uint8Array;
  /** The node's Ed25519 public key, 32 bytes. */
  publicKey: Uint8Array;
  /** SHA-256 of the opening. */
  nodeNonce: Uint8Array;
  gatewayNonce: Uint8Array;
  /** The gateway's clock, ms since the epoch. */
  gatewayTimeMs: number;
  /** The invite's id; empty without an invite. */
  inviteId: string;
}

/** The bytes that the node signs: every field with its length in front, so that no two transcripts look alike. */
export function encodeTranscript(transcript: Transcript): Buffer {
  const fields = [
    Buffer.from(PURPOSE),
    transcript.hostKey,
    transcript.publicKey,
    transcript.nodeNonce,
    transcript.gatewayNonce,
    Buffer.from(String(transcript.gatewayTimeMs)),
    Buffer.from(transcript.inviteId),
  ];
  return lengthPrefixed(fields);
}

/** Proof of one side that it knows the invite's secret: HMAC-SHA-256 (RFC 2104) over its role and the transcript. */
export function inviteProof(side: 'gateway' | 'node', secret: string, transcript: Buffer): Buffer {
  return createHmac('sha256', secret).update(`${side}\0`).update(transcript).digest();
}

/** Compares in constant time; lengths may differ. */
export function proofsEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

export function commitmentOf(opening: Uint8Array): Buffer {
  return createHash('sha256').update(opening).digest();
}

/** What {@link eightDigits} gives. */
export const COMPARISON_CODE = /^\d{4}-\d{4}$/;

/** The code that both screens show for a node that waits for approval: eight digits, `4831-2290`. */
export function comparisonCode(transcript: Buffer, opening: Uint8Array): string {
  const digest = createHash('sha256').update('fleet-compare-v1\0').update(transcript).update(opening).digest();
  return eightDigits(digest);
}

/** A hash as people compare it: `4831-2290`. */
export function eightDigits(digest: Buffer): string {
  const digits = String(digest.readUIntBE(0, 6) % 100_000_000).padStart(8, '0');
  return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}

export interface InviteCode {
  id: string;
  secret: string;
}

/** `7k3f-9m2q-x0zt-4hcv`: the id, then the secret in groups of four. */
export function formatInviteCode(code: InviteCode): string {
  return [code.id, ...(code.secret.match(/.{1,4}/g) ?? [])].join('-');
}

/** Letters and digits but for `u`, which looks like `v`; dashes and blanks between them. */
const CODE_CHARACTER = /[0-9A-TV-Za-tv-z\s-]/;

/** Reads what a person typed, in any case and with or without dashes. @throws FleetError `invite_invalid`. */
export function parseInviteCode(pasted: string): InviteCode {
  const text = trimPasted(pasted);
  const plain = normalizeBase32(text);
  const secretLength = (plain?.length ?? 0) - INVITE_ID_LENGTH;
  if (plain === undefined || (secretLength !== INVITE_SECRET_LENGTH && secretLength !== LONG_INVITE_SECRET_LENGTH)) {
    const foreign = describeForeign(text, CODE_CHARACTER);
    throw new FleetError('invite_invalid', `that is not an invite code${foreign === undefined ? '' : `: ${foreign}`}`, {
      hint: 'A code looks like 7k3f-9m2q-x0zt-4hcv; `fleet invite` on the gateway prints one.',
    });
  }
  return { id: plain.slice(0, INVITE_ID_LENGTH), secret: plain.slice(INVITE_ID_LENGTH) };
}

/** Each field with its length in front, 4 bytes, big-endian. */
export function lengthPrefixed(fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      return [length, field];
    }),
  );
}
