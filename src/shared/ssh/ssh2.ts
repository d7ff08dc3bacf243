/** The one import of ssh2's code, so that nothing loads it before its native module has been looked at. */
import './native-ciphers.ts';
// Named imports fail: Node.js finds only some of the names in ssh2's CommonJS.
import ssh2 from 'ssh2';

export const { Client, Server, utils } = ssh2;
