/** The gateway as a peer: which errors it may report, and our own hints for them. */
import { ERROR_CODES, type ErrorCode } from '../shared/errors.ts';
import type { AnsweringPeer } from '../shared/http/request.ts';

/** Errors that only the requesting machine can detect. */
const OURS_ALONE: ReadonlySet<ErrorCode> = new Set([
  'home_insecure',
  'home_foreign',
  'database_missing',
  'host_key_changed',
  'gateway_not_proven',
  'wrong_gateway',
  'already_running',
  'gateway_unreachable',
]);

export const GATEWAY_PEER: AnsweringPeer = {
  name: 'the gateway',
  codes: new Set((Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => !OURS_ALONE.has(code))),
  // Retryable: an answer that makes no sense must not end a node for good.
  otherCode: 'gateway_unreachable',
  hints: {
    not_found: 'See what there is: fleet nodes, fleet jobs, fleet schedule list',
    ambiguous: 'Give the full name, or more of the id.',
    node_offline: 'See since when: fleet nodes. To wait for a node, give a limit: --expires 1h',
    name_taken: 'Choose another with --name.',
    busy: 'Wait a minute and try again.',
    invite_invalid: 'Ask for a new one: run `fleet invite` on the gateway.',
    key_revoked: 'If that was a mistake, ask an admin of the gateway to remove the old entry, then use a new code.',
    not_paired:
      'Ask an admin for a code (fleet invite), then: fleet node up --gateway HOST --code CODE, or fleet login HOST --code CODE',
    protocol_unsupported: 'Install the same fleet version on both machines.',
  },
};
