/** Who a key can be. */
export const ROLES = ['node', 'viewer', 'operator', 'admin'] as const;

export type Role = (typeof ROLES)[number];

/** Roles of people, the least first. */
export const PERSON_ROLES = ['viewer', 'operator', 'admin'] as const;

export type PersonRole = (typeof PERSON_ROLES)[number];
