/** A store with an audit log, and a look at it from outside. */
import path from 'node:path';
import type { TestContext } from 'node:test';
import Database from 'better-sqlite3';
import type { AuditRow } from '../../../src/domain/audit.ts';
import { AuditCheck, type AuditVerdict } from '../../../src/domain/audit-check.ts';
import { createTemporarySigner, type HeadSigner } from '../../../src/gateway/audit/audit-log.ts';
import { Store } from '../../../src/gateway/store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

export const ADMIN = { name: 'local', role: 'admin', via: 'socket', key: null, address: null } as const;

export class AuditedStore {
  readonly file: string;
  readonly clock = new FakeClock();
  readonly signer: HeadSigner = createTemporarySigner();
  store: Store;

  constructor(t: TestContext) {
    this.file = path.join(tempFolder(t), 'fleet.db');
    this.store = this.open();
    cleanUp(t, () => this.store.close());
  }

  open(): Store {
    this.store = new Store(this.file, { clock: this.clock, signer: this.signer });
    return this.store;
  }

  /** Adds rows with the numbers of `count` as their details. */
  async add(count: number): Promise<void> {
    const { store } = this;
    await Promise.all(
      Array.from({ length: count }, (_, n) =>
        store.write(() => store.audit.append({ actor: ADMIN, action: 'test', outcome: 'ok', details: { n } })),
      ),
    );
  }

  /** Does something to the file, as somebody who may write to it. */
  tamper(sql: string): void {
    const database = new Database(this.file);
    try {
      database.exec(sql);
    } finally {
      database.close();
    }
  }

  check(): AuditVerdict {
    return checkStore(this.store);
  }

  rows(): AuditRow[] {
    return rowsOf(this.store);
  }
}

export function checkStore(store: Store): AuditVerdict {
  const check = new AuditCheck();
  for (const { line } of store.auditRows.after(0, 100_000)) check.push(line);
  return check.finish(store.audit.head());
}

export function rowsOf(store: Store): AuditRow[] {
  return store.auditRows.after(0, 100_000).map(({ line }) => JSON.parse(line) as AuditRow);
}
