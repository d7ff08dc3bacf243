/** `keepaliveInterval` of either end in config.yaml. */
import { intervalUpTo } from '../config.ts';
import { SSH_LIMITS } from './limits.ts';

/** ssh2 gives it to setInterval, which takes more than 24 days for 1 ms; and what is dead for an hour should be known to be. */
export const keepaliveIntervalSchema = intervalUpTo('1h').default(SSH_LIMITS.keepaliveIntervalMs);
