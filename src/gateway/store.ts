/** The gateway's state: every table behind one durable write path. Reads are direct; writes go through {@link Store.write}. */
import { type Clock, systemClock } from '../shared/clock.ts';
import { runEndRow } from './audit/act.ts';
import { AuditLog, createTemporarySigner, type HeadSigner } from './audit/audit-log.ts';
import { AuditTable } from './audit/audit-table.ts';
import { type JobsTable, jobsTable } from './bus/jobs-table.ts';
import { RetentionTable } from './bus/retention.ts';
import { RunsTable } from './bus/runs-table.ts';
import { ClockTable } from './clock-guard.ts';
import {
  type EpochsTable,
  epochsTable,
  type InvitesTable,
  invitesTable,
  type PeopleTable,
  peopleTable,
} from './identity/tables.ts';
import { MIGRATIONS } from './migrations.ts';
import {
  type AlertsTable,
  alertsTable,
  type DeliveriesTable,
  deliveriesTable,
  type SilencesTable,
  silencesTable,
} from './monitoring/alerts/tables.ts';
import { HistoryTable } from './monitoring/history/history-table.ts';
import { GatewayUptimeTable, HealthTable, IncidentsTable } from './monitoring/judge/judge-store.ts';
import { type NodesTable, nodesTable } from './nodes/nodes-table.ts';
import { SessionsTable } from './nodes/sessions-table.ts';
import { type SchedulesTable, schedulesTable } from './schedule/schedules-table.ts';
import { openDatabase, type Sqlite } from './store/database.ts';
import type { DurableStore } from './store/durable-store.ts';
import { GroupCommit } from './store/group-commit.ts';
import { WalSync } from './store/wal-sync.ts';

export interface StoreOptions {
  clock?: Clock;
  /** Signs the audit log; by default a temporary key of this process. */
  signer?: HeadSigner;
  /** Whether a missing or empty file becomes a new database; true by default. */
  mayBeNew?: boolean;
}

export class Store implements DurableStore {
  readonly nodes: NodesTable;
  readonly epochs: EpochsTable;
  readonly people: PeopleTable;
  readonly invites: InvitesTable;
  readonly jobs: JobsTable;
  readonly runs: RunsTable;
  readonly sessions: SessionsTable;
  readonly health: HealthTable;
  readonly gatewayUptime: GatewayUptimeTable;
  readonly history: HistoryTable;
  readonly incidents: IncidentsTable;
  readonly retention: RetentionTable;
  readonly audit: AuditLog;
  readonly auditRows: AuditTable;
  readonly schedules: SchedulesTable;
  readonly alerts: AlertsTable;
  readonly deliveries: DeliveriesTable;
  readonly silences: SilencesTable;
  readonly clock: ClockTable;
  readonly #database: Sqlite;
  readonly #commits: GroupCommit;
  readonly #wal: WalSync;
  #closed = false;

  /** Opens the file at once. @throws FleetError `storage_failed`, `config_invalid`. */
  constructor(file: string, options: StoreOptions = {}) {
    this.#database = openDatabase(file, MIGRATIONS, options.mayBeNew);
    this.auditRows = new AuditTable(this.#database);
    this.audit = new AuditLog({
      table: this.auditRows,
      clock: options.clock ?? systemClock,
      signer: options.signer ?? createTemporarySigner(),
      write: (work) => this.write(work),
    });
    this.#wal = new WalSync(file);
    this.#commits = new GroupCommit(this.#database, this.audit, () => this.#wal.committedSoon());
    this.nodes = nodesTable(this.#database);
    this.epochs = epochsTable(this.#database);
    this.people = peopleTable(this.#database);
    this.invites = invitesTable(this.#database);
    this.jobs = jobsTable(this.#database);
    this.runs = new RunsTable(this.#database, (run) => this.audit.append(runEndRow(run)));
    this.sessions = new SessionsTable(this.#database);
    this.health = new HealthTable(this.#database);
    this.gatewayUptime = new GatewayUptimeTable(this.#database);
    this.history = new HistoryTable(this.#database);
    this.incidents = new IncidentsTable(this.#database);
    this.retention = new RetentionTable(this.#database);
    this.schedules = schedulesTable(this.#database);
    this.alerts = alertsTable(this.#database);
    this.deliveries = deliveriesTable(this.#database);
    this.silences = silencesTable(this.#database);
    this.clock = new ClockTable(this.#database);
  }

  /**
   * Runs `work` in the next group of writes and resolves with its result once it is on disk. The first write of a request also
   * stores the request's audit row.
   */
  write<T>(work: () => T): Promise<T> {
    return this.audit.writeWithAct(work, (whole) => this.#commits.write(whole));
  }

  /**
   * Does something outside the database within the transaction that stores the request's audit row: if it throws, no row says that it was
   * done; if it cannot be recorded, it is undone. `alsoStore` writes in the same transaction.
   */
  async perform<T>(deed: () => { value: T; undo(): void }, alsoStore: (value: T) => void = () => {}): Promise<T> {
    let done: { value: T; undo(): void } | undefined;
    try {
      return await this.write(() => {
        done = deed();
        alsoStore(done.value);
        return done.value;
      });
    } catch (error) {
      done?.undo();
      throw error;
    }
  }

  /**
   * {@link write} without waiting for the disk: survives a kill of this process, but not a power cut until {@link sync}.
   * For what somebody else keeps until then, as a node keeps the log of a run.
   */
  writeSoon<T>(work: () => T): Promise<T> {
    return this.#commits.writeSoon(work);
  }

  /** Resolves when everything written survives a power cut. @throws FleetError `storage_failed`. */
  sync(): Promise<void> {
    return this.#wal.sync();
  }

  /** Flushes pending writes and closes the file. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#commits.close();
      this.#wal.close();
    } finally {
      this.#database.close();
    }
  }
}
