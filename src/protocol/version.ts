/** The versions that both sides compare when they meet. */

/** Version of this program, as in package.json (a test compares them). */
export const FLEET_VERSION = '0.1.0';

/** Version of the wire protocol between node and gateway. Raised when an old peer could no longer understand. */
export const PROTOCOL_VERSION = 1;
