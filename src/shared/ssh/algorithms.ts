/** The algorithms that both ends offer: AEAD ciphers and Curve25519 only, chosen for speed here and for peers such as OpenSSH and dropbear. */
import type { Algorithms, CipherAlgorithm } from 'ssh2';

/** In a client's and in a server's list of key exchanges: strict key exchange is wanted. OpenSSH's PROTOCOL, 1.10; ssh2 puts it there. */
export const STRICT_KEX = { client: 'kex-strict-c-v00@openssh.com', server: 'kex-strict-s-v00@openssh.com' } as const;

/** What is safe from Terrapin (CVE-2023-48795) even without strict key exchange: their nonce does not depend on the packet's number. */
export const GCM_CIPHERS = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'] satisfies CipherAlgorithm[];

/** ssh2 takes an empty list for "the defaults", so every list is spelled out. */
export const SERVER_ALGORITHMS = {
  // The libssh.org name must come first: ssh2 always discards a client's correct guess of the *other* name, and dropbear then hangs.
  kex: ['curve25519-sha256@libssh.org', 'curve25519-sha256'],
  serverHostKey: ['ssh-ed25519'],
  // dropbear speaks only chacha20; the client's order wins.
  cipher: [...GCM_CIPHERS, 'chacha20-poly1305@openssh.com'],
  // Never used by an AEAD cipher, but the list must not be empty.
  hmac: ['hmac-sha2-256-etm@openssh.com'],
  // Compression before authentication lets a stranger make us inflate bombs.
  compress: ['none'],
} satisfies Algorithms;

/** aes128-gcm is the fastest in Node's OpenSSL by far (1.4 GB/s, with no native module 0.7 GB/s); the rest is for other gateways. */
export const CLIENT_ALGORITHMS = {
  ...SERVER_ALGORITHMS,
  cipher: GCM_CIPHERS,
} satisfies Algorithms;

/** Software version in the identification line (RFC 4253, 4.2); says nothing about versions to strangers. */
export const SSH_IDENT = 'fleet';
