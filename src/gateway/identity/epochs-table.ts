/** The table of epochs: what each node must present when it connects next, who did so last, and whether its key seems to be copied. */
import type { Sqlite } from '../store/database.ts';

/** A machine that connected with a node's key. */
export interface Sighting {
  address: string;
  hostname: string;
  /** Hash of the machine's id; null if the system has none. */
  machineId: string | null;
  /** ms. */
  at: number;
}

export interface CloneSuspicion {
  /** What was presented: an earlier epoch, one that the gateway never issued, or none. */
  kind: 'behind' | 'ahead' | 'missing';
  /** ms. */
  since: number;
  count: number;
  /** The machine that presented it, most recently. */
  late: Sighting;
  /** The machine that had connected before it. */
  before: Sighting;
}

export interface EpochRecord {
  nodeId: string;
  /** What the node is known to have. */
  confirmed: string | null;
  /** What it was issued, and may have. */
  offered: string | null;
  /** How often another epoch than these was presented; earlier runs are not asked for since. */
  branch: number;
  holder: Sighting;
  suspicion: CloneSuspicion | null;
}

interface Row extends Omit<EpochRecord, 'holder' | 'suspicion'> {
  holder: string;
  suspicion: string | null;
}

export class EpochsTable {
  readonly #statements;

  constructor(database: Sqlite) {
    const columns = 'node_id AS nodeId, confirmed, offered, branch, holder, suspicion';
    this.#statements = {
      get: database.prepare(`SELECT ${columns} FROM connect_epochs WHERE node_id = ?`),
      suspected: database.prepare(`SELECT ${columns} FROM connect_epochs WHERE suspicion IS NOT NULL`),
      put: database.prepare(
        `INSERT INTO connect_epochs (node_id, confirmed, offered, branch, holder, suspicion)
         VALUES (@nodeId, @confirmed, @offered, @branch, @holder, @suspicion)
         ON CONFLICT (node_id) DO UPDATE SET confirmed = excluded.confirmed, offered = excluded.offered,
           branch = excluded.branch, holder = excluded.holder, suspicion = excluded.suspicion`,
      ),
      confirm: database.prepare(
        'UPDATE connect_epochs SET confirmed = offered, offered = NULL WHERE node_id = ? AND offered = ?',
      ),
      clear: database.prepare('UPDATE connect_epochs SET suspicion = NULL WHERE node_id = ?'),
    };
  }

  get(nodeId: string): EpochRecord | undefined {
    const row = this.#statements.get.get(nodeId) as Row | undefined;
    return row && toRecord(row);
  }

  suspected(): EpochRecord[] {
    return (this.#statements.suspected.all() as Row[]).map(toRecord);
  }

  put(record: EpochRecord): void {
    const { holder, suspicion, ...rest } = record;
    this.#statements.put.run({
      ...rest,
      holder: JSON.stringify(holder),
      suspicion: suspicion === null ? null : JSON.stringify(suspicion),
    });
  }

  /** Does nothing if the node was offered another since. */
  confirm(nodeId: string, offered: string): void {
    this.#statements.confirm.run(nodeId, offered);
  }

  clearSuspicion(nodeId: string): void {
    this.#statements.clear.run(nodeId);
  }
}

function toRecord(row: Row): EpochRecord {
  return {
    ...row,
    holder: JSON.parse(row.holder) as Sighting,
    suspicion: row.suspicion === null ? null : (JSON.parse(row.suspicion) as CloneSuspicion),
  };
}
