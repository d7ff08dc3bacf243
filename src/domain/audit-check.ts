/** Checks a chain of audit rows line by line: finds rows that were changed, removed, inserted or put elsewhere, the last ones included. */
import { createPublicKey, verify } from 'node:crypto';
import {
  type AuditHeadView,
  type AuditPosition,
  type AuditRow,
  DAMAGED_ACTION,
  GENESIS_HASH,
  headBytes,
  openLine,
  PRUNE_ACTION,
  sealLine,
} from './audit.ts';

/** Findings, in the order in which they were made. */
interface AuditProblem {
  kind:
    | 'unreadable'
    | 'changed'
    | 'missing'
    | 'out_of_order'
    | 'unlinked'
    | 'cut_begin'
    | 'cut_end'
    | 'head'
    | 'noted_damage'
    | 'expected';
  /** The row; null if it concerns the whole log. */
  seq: number | null;
  message: string;
}

export interface AuditVerdict {
  intact: boolean;
  rows: number;
  first: AuditPosition | null;
  last: AuditPosition | null;
  /** At most {@link MAX_PROBLEMS}. */
  problems: AuditProblem[];
  /** Including those that are not listed. */
  problemCount: number;
}

/** `live` is left out where no gateway runs that could be asked. */
type CheckedHead = Omit<AuditHeadView, 'live'> & Partial<Pick<AuditHeadView, 'live'>>;

/** Problems that are listed; one cut can make a problem of every row behind it. */
const MAX_PROBLEMS = 20;

export class AuditCheck {
  readonly #expected: Partial<AuditPosition> | undefined;
  readonly #isPartial: boolean;
  readonly #problems: AuditProblem[] = [];
  #problemCount = 0;
  #rows = 0;
  #first: (AuditPosition & { prev: string }) | undefined;
  #last: AuditPosition | undefined;
  #expectedSeen = false;
  /** Last rows of what was deleted because of its age, as rows behind them say; hashes by number. */
  readonly #pruned = new Map([[0, GENESIS_HASH]]);

  /**
   * `expected` is a head that was noted at an earlier time: the chain must still contain it. `isPartial`: that rows before the first
   * one are not there is no fault.
   */
  constructor(expected?: Partial<AuditPosition>, { isPartial = false }: { isPartial?: boolean } = {}) {
    this.#expected = expected;
    this.#isPartial = isPartial;
  }

  /** The next line, in the order of their numbers. */
  push(line: string): void {
    this.#rows += 1;
    const row = parseRow(line);
    if (row === undefined) {
      const after = this.#last === undefined ? 'at the beginning' : `behind row ${this.#last.seq}`;
      this.#note('unreadable', null, `a row ${after} cannot be read`);
      return;
    }
    const { seq, prev, hash } = row;
    const opened = openLine(line);
    if (opened === undefined || sealLine(opened.unsealed).hash !== hash) {
      this.#note('changed', seq, `row ${seq} was changed: it does not fit its own hash`);
    }
    const before = this.#last;
    if (before !== undefined) {
      if (seq <= before.seq) this.#note('out_of_order', seq, `row ${seq} stands behind row ${before.seq}`);
      else if (seq > before.seq + 1) {
        this.#note('missing', seq, `${seq - before.seq - 1} rows are missing before row ${seq}`);
      } else if (prev !== before.hash) {
        this.#note('unlinked', seq, `row ${seq} was not written behind row ${before.seq} as it stands there`);
      }
    }
    this.#first ??= { seq, hash, prev };
    this.#last = { seq, hash };
    if (this.#isExpected(this.#last)) this.#expectedSeen = true;
    if (row.action === PRUNE_ACTION) this.#notePruned(row);
    if (row.action === DAMAGED_ACTION) {
      this.#note('noted_damage', seq, `row ${seq}: the gateway did not find its signed head when it started`);
    }
  }

  /** 0 before the first row. */
  get lastSeq(): number {
    return this.#last?.seq ?? 0;
  }

  /** @param view what the gateway says of its head; undefined when there is none, as with a file that has rows only. */
  finish(view: CheckedHead | undefined): AuditVerdict {
    const first = this.#first;
    if (first !== undefined && !this.#isPartial && this.#pruned.get(first.seq - 1) !== first.prev) {
      this.#note(
        'cut_begin',
        first.seq,
        `rows before row ${first.seq} are missing, and no row says that they were deleted`,
      );
    }
    if (view !== undefined) this.#checkHead(view);
    if (this.#expected !== undefined && !this.#expectedSeen) {
      this.#note(
        'expected',
        this.#expected.seq ?? null,
        'the expected head is not in this log: it was cut, replaced, or is another one',
      );
    }
    return {
      intact: this.#problemCount === 0,
      rows: this.#rows,
      first: first === undefined ? null : { seq: first.seq, hash: first.hash },
      last: this.#last ?? null,
      problems: this.#problems,
      problemCount: this.#problemCount,
    };
  }

  #checkHead({ head, live, keys }: CheckedHead): void {
    if (head === null) {
      if ((live?.seq ?? 0) > 0 || this.#rows > 0) this.#note('head', null, 'the signed head is missing');
      return;
    }
    if (!isSigned(head)) this.#note('head', head.seq, `the signature of the head (row ${head.seq}) is wrong`);
    else if (!keys.includes(head.key)) {
      this.#note('head', head.seq, `the head (row ${head.seq}) is signed with another key: ${head.key}`);
    }
    for (const [what, place] of [
      ['its signed head', head],
      ['what the running gateway knows', live],
    ] as const) {
      if (place === undefined) continue;
      if (this.#last?.seq === place.seq && this.#last.hash === place.hash) continue;
      this.#note(
        'cut_end',
        place.seq,
        `the log ends at row ${this.#last?.seq ?? 0}, which is not ${what} (row ${place.seq})`,
      );
    }
  }

  #notePruned({ details }: AuditRow): void {
    const { through, hash } = details ?? {};
    if (typeof through !== 'number' || typeof hash !== 'string') return;
    this.#pruned.set(through, hash);
    if (this.#isExpected({ seq: through, hash })) this.#expectedSeen = true;
  }

  #isExpected(place: AuditPosition): boolean {
    const expected = this.#expected;
    return expected !== undefined && place.hash === expected.hash && (expected.seq ?? place.seq) === place.seq;
  }

  #note(kind: AuditProblem['kind'], seq: number | null, message: string): void {
    this.#problemCount += 1;
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push({ kind, seq, message });
  }
}

/** A line as a row; undefined when it is none. */
export function parseRow(line: string): AuditRow | undefined {
  try {
    const row = JSON.parse(line) as Partial<AuditRow> | null;
    return Number.isSafeInteger(row?.seq) && typeof row?.prev === 'string' && typeof row.hash === 'string'
      ? (row as AuditRow)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Ed25519 (RFC 8032). False also for what is no key or no signature. */
export function isSigned({ key, signature, ...position }: AuditPosition & { key: string; signature: string }): boolean {
  try {
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key }, format: 'jwk' });
    return verify(null, headBytes(position), publicKey, Buffer.from(signature, 'base64url'));
  } catch {
    return false;
  }
}
