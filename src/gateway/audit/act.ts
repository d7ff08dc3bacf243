/** One thing that somebody asks the gateway to do, from the request until its row is in the audit log. */
import type { AuditActor } from '../../domain/audit.ts';

export type ActDetails = Record<string, unknown>;

/** An actor for what the gateway does without being asked. */
export const GATEWAY_ACTOR: AuditActor = { name: 'gateway', role: 'gateway', via: 'gateway', key: null, address: null };

export class Act {
  readonly actor: AuditActor;
  #action: string;
  #details: ActDetails;
  /** Names of what the request's body gave; stands in for the details until somebody says them. */
  #fields: readonly string[] | undefined;
  #outcome = 'ok';
  #state: 'open' | 'claimed' | 'begun' | 'stored' | 'refused' = 'open';

  constructor(actor: AuditActor, action: string, details: ActDetails = {}, fields?: readonly string[]) {
    this.actor = actor;
    this.#action = action;
    this.#details = details;
    this.#fields = fields;
  }

  get action(): string {
    return this.#action;
  }

  get details(): ActDetails {
    return this.#fields === undefined ? this.#details : { ...this.#details, fields: this.#fields };
  }

  get outcome(): string {
    return this.#outcome;
  }

  get isStored(): boolean {
    return this.#state === 'stored';
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Says more of what is done; never secrets. */
  note(details: ActDetails, action = this.#action): void {
    this.#action = action;
    this.#fields = undefined;
    this.#details = { ...this.#details, ...details };
  }

  /** It takes its time: the row that is stored next only says that it has begun, and {@link conclude} brings the one with the result. */
  begins(details: ActDetails): void {
    this.note(details);
    this.#outcome = 'begun';
  }

  /** What became of what has begun: `ok`, `failed`, or the code of an error. */
  conclude(outcome: string, details: ActDetails = {}): void {
    this.note(details);
    this.#outcome = outcome;
    if (this.#state === 'begun') this.#state = 'open';
  }

  /** Takes it upon oneself to store the row: true for one caller only, until that one has failed. */
  claim(): boolean {
    if (this.#state !== 'open') return false;
    this.#state = 'claimed';
    return true;
  }

  /** Says what became of the claim. */
  settle(stored: boolean): void {
    const done = this.#outcome === 'begun' ? 'begun' : 'stored';
    this.#state = stored ? done : 'open';
  }

  /** It was not done: no write that the request has set off tells of it any more. */
  refuse(): void {
    if (this.#state === 'open') this.#state = 'refused';
  }
}
