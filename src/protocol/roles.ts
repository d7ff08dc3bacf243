/** Who a key can be. */
export const ROLES = ['node', 'viewer', 'operator', 'admin'] as const;

export type Role = (typeof ROLES)[number];
