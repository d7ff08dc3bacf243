/** The gateway's truth: every table behind one durable write path. Reads are direct; writes go through {@link Store.write}. */
import { openDatabase, type Sqlite } from './database.ts';
import { GroupCommit } from './group-commit.ts';
import { HealthTable } from './health-table.ts';
import { InvitesTable } from './invites-table.ts';
import { JobsTable } from './jobs-table.ts';
import { NodesTable } from './nodes-table.ts';
import { RetentionTable } from './retention-table.ts';
import { RunsTable } from './runs-table.ts';

export class Store {
  readonly nodes: NodesTable;
  readonly invites: InvitesTable;
  readonly jobs: JobsTable;
  readonly runs: RunsTable;
  readonly health: HealthTable;
  readonly retention: RetentionTable;
  readonly #database: Sqlite;
  readonly #commits: GroupCommit;
  #closed = false;

  /** Opens the file at once. @throws FleetError `storage_failed`, `config_invalid`. */
  constructor(file: string) {
    this.#database = openDatabase(file);
    this.#commits = new GroupCommit(this.#database);
    this.nodes = new NodesTable(this.#database);
    this.invites = new InvitesTable(this.#database);
    this.jobs = new JobsTable(this.#database);
    this.runs = new RunsTable(this.#database);
    this.health = new HealthTable(this.#database);
    this.retention = new RetentionTable(this.#database);
  }

  /** Runs `work` in the next group of writes and resolves with its result once it is on disk. */
  write<T>(work: () => T): Promise<T> {
    return this.#commits.write(work);
  }

  /** Flushes what waits and closes the file. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#commits.close();
    this.#database.close();
  }
}
