/** Runs: the durable state of the command bus. Only here do runs change their state, and only along legal transitions. */
import { canTransition, isTerminal, type RunState } from '../../domain/states.ts';
import type { RunExited } from '../../protocol/run-spec.ts';
import { FleetError } from '../../shared/errors.ts';
import { cutText, MAX_MESSAGE_LENGTH } from '../../shared/text.ts';
import type { IdentityStore } from '../identity/tables.ts';
import { prepareAll, type Sqlite } from '../store/database.ts';
import type { JobsTable } from './jobs-table.ts';
import type { RetentionTable } from './retention.ts';

export interface RunRecord {
  seq: number;
  /** The job's id, a dot, and `index`. */
  id: string;
  jobSeq: number;
  jobId: string;
  index: number;
  nodeId: string;
  nodeName: string;
  state: RunState;
  exitCode: number | null;
  signal: string | null;
  reason: string | null;
  queuedAt: number;
  deliveredAt: number | null;
  startedAt: number | null;
  endedAt: number | null;
  expiresAt: number | null;
  /** Set once a cancel was requested. The run is canceled once its end says so. */
  cancelReason: string | null;
  /** When the first hand-over was recorded: from then on the node may have the run. */
  handedOverAt: number | null;
  /** The node's journal at that time; another one cannot say what became of the run. */
  journal: string | null;
  logBytes: number;
  stdoutBytes: number;
  stderrBytes: number;
  droppedBytes: number;
  /** 1 if the run became `unknown` because its node did not report in time, until the node says how it ended. */
  unconfirmed: 0 | 1;
  /** JSON of a {@link RunExited}, once the command has exited while something holds its output. */
  exited: string | null;
}

/** What may change together with the state: times before the end, anything with it. */
type RunChange = Partial<Omit<RunRecord, 'state' | keyof NewRun | 'id' | 'seq'>>;

type NewRun = Pick<RunRecord, 'jobSeq' | 'jobId' | 'index' | 'nodeId' | 'nodeName' | 'queuedAt' | 'expiresAt'>;

/** How every run begins: the schema's defaults. */
const NEW_RUN: Omit<RunRecord, keyof NewRun | 'id' | 'seq'> = {
  state: 'queued',
  exitCode: null,
  signal: null,
  reason: null,
  deliveredAt: null,
  startedAt: null,
  endedAt: null,
  cancelReason: null,
  handedOverAt: null,
  journal: null,
  logBytes: 0,
  stdoutBytes: 0,
  stderrBytes: 0,
  droppedBytes: 0,
  unconfirmed: 0,
  exited: null,
};

/** Reasons are cut on reading, because an earlier version stored them at any length. */
const COLUMNS = `seq, job_id || '.' || idx AS id, job_seq AS jobSeq, job_id AS jobId, idx AS "index", node_id AS nodeId,
  node_name AS nodeName, state, exit_code AS exitCode, substr(signal, 1, 32) AS signal,
  substr(reason, 1, ${MAX_MESSAGE_LENGTH}) AS reason, queued_at AS queuedAt, delivered_at AS deliveredAt, started_at AS startedAt, ended_at AS endedAt,
  expires_at AS expiresAt, cancel_reason AS cancelReason, handed_over_at AS handedOverAt,
  journal, log_bytes AS logBytes, stdout_bytes AS stdoutBytes,
  stderr_bytes AS stderrBytes, dropped_bytes AS droppedBytes, unconfirmed, exited`;
const RUNS = `SELECT ${COLUMNS} FROM runs`;
/** Not a join: SQLite re-plans those for each bound value, which takes five times as long as the query. */
const OF_JOB = 'job_seq = (SELECT seq FROM jobs WHERE id = ?)';
/** Stricter than SQLite's numbers, which include `01`. */
const ID = /^(?<job>.+)\.(?<index>0|[1-9]\d{0,8})$/;

export class RunsTable {
  /** Called with each run that ends, inside its transaction. */
  onEnd: ((run: RunRecord) => void) | undefined;
  readonly #statements;
  readonly #onEnd: (run: RunRecord) => void;

  /** @param onEnd is called inside the transaction when a run ends, and again when its node confirms the end of an unconfirmed one. */
  constructor(database: Sqlite, onEnd: (run: RunRecord) => void) {
    this.#onEnd = onEnd;
    this.#statements = prepareAll(database, {
      insert: `INSERT INTO runs (job_seq, job_id, idx, node_id, node_name, state, queued_at, expires_at)
         VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)`,
      byId: `${RUNS} WHERE ${OF_JOB} AND idx = ?`,
      ofJob: `${RUNS} WHERE ${OF_JOB}`,
      open: `${RUNS} WHERE ended_at IS NULL ORDER BY +seq`,
      openOfNode: `${RUNS} WHERE ended_at IS NULL AND node_id = ? ORDER BY seq`,
      unconfirmed: `${RUNS} WHERE unconfirmed = 1 AND node_id = coalesce(?, node_id) ORDER BY seq`,
      countOpen: 'SELECT state, count(*) AS count FROM runs WHERE ended_at IS NULL GROUP BY state',
      endedBetween: `SELECT node_id AS nodeId, state, exit_code AS exitCode, count(*) AS count FROM runs
         WHERE ended_at >= ? AND ended_at < ? GROUP BY node_id, state, exit_code`,
      // No column of an index changes, so that most steps cost one page.
      step: 'UPDATE runs SET state = ?, delivered_at = ?, started_at = ? WHERE seq = ?',
      end: `UPDATE runs SET state = @state, exit_code = @exitCode, signal = @signal, reason = @reason, delivered_at = @deliveredAt,
           started_at = @startedAt, ended_at = @endedAt, stdout_bytes = @stdoutBytes, stderr_bytes = @stderrBytes,
           dropped_bytes = @droppedBytes, unconfirmed = @unconfirmed WHERE seq = @seq`,
      askCancel: `UPDATE runs SET cancel_reason = coalesce(cancel_reason, ?) WHERE seq = ?`,
      setExited: 'UPDATE runs SET exited = ? WHERE seq = ?',
      handOver: 'UPDATE runs SET handed_over_at = ?, journal = ? WHERE seq = ?',
      takeBack: 'UPDATE runs SET handed_over_at = NULL, journal = NULL WHERE seq = ?',
      grow: `UPDATE runs SET log_bytes = log_bytes + @logBytes, stdout_bytes = stdout_bytes + @stdoutBytes,
           stderr_bytes = stderr_bytes + @stderrBytes WHERE seq = @seq AND log_bytes = @offset`,
      appendLog: 'INSERT INTO run_log (run_seq, offset, bytes) VALUES (?, ?, ?)',
      chunkStart: 'SELECT max(offset) FROM run_log WHERE run_seq = ? AND offset <= ?',
      chunkAt: 'SELECT bytes FROM run_log WHERE run_seq = ? AND offset = ?',
      // The chunk that contains the offset is the last one that begins at or before it.
      readLog: `SELECT offset, bytes FROM run_log WHERE run_seq = @seq AND offset >= coalesce(
           (SELECT max(offset) FROM run_log WHERE run_seq = @seq AND offset <= @from), 0) ORDER BY offset LIMIT @limit`,
    });
    for (const name of ['chunkStart', 'chunkAt'] as const) this.#statements[name].pluck();
  }

  /** Returns what is stored now. */
  insert(run: NewRun): RunRecord {
    const { jobSeq, jobId, index, nodeId, nodeName, queuedAt, expiresAt } = run;
    const inserted = this.#statements.insert.run(jobSeq, jobId, index, nodeId, nodeName, queuedAt, expiresAt);
    return { ...NEW_RUN, ...run, id: `${jobId}.${index}`, seq: Number(inserted.lastInsertRowid) };
  }

  byId(id: string): RunRecord | undefined {
    const { job, index } = ID.exec(id)?.groups ?? {};
    if (job === undefined) return undefined;
    return this.#statements.byId.get(job, Number(index)) as RunRecord | undefined;
  }

  /** By index. */
  ofJob(jobId: string): RunRecord[] {
    const runs = this.#statements.ofJob.all(jobId) as RunRecord[];
    // The plan returns them in this order anyway, but ORDER BY would take five times as long.
    return runs.sort((a, b) => a.index - b.index);
  }

  /** All runs that have not ended, in the order of acceptance. */
  open(nodeId?: string): RunRecord[] {
    const rows = nodeId === undefined ? this.#statements.open.all() : this.#statements.openOfNode.all(nodeId);
    return rows as RunRecord[];
  }

  /** Runs that became `unknown` but may still be in progress on their nodes. */
  unconfirmed(nodeId: string | null = null): RunRecord[] {
    return this.#statements.unconfirmed.all(nodeId) as RunRecord[];
  }

  /** Number of runs that have not ended, by state. */
  countOpen(): { queued: number; delivered: number; running: number } {
    const rows = this.#statements.countOpen.all() as { state: 'queued' | 'delivered' | 'running'; count: number }[];
    const counts = { queued: 0, delivered: 0, running: 0 };
    for (const { state, count } of rows) counts[state] = count;
    return counts;
  }

  countEnded(from: number, to: number): { nodeId: string; state: RunState; exitCode: number | null; count: number }[] {
    return this.#statements.endedBetween.all(from, to) as ReturnType<RunsTable['countEnded']>;
  }

  /**
   * Moves the run to `state`. An unconfirmed run stays `unknown`, and the real outcome is added to its reason.
   * @throws FleetError `internal` for an illegal transition, which is a defect.
   */
  move(id: string, state: RunState, change: RunChange = {}): RunRecord {
    const run = this.byId(id);
    if (run === undefined) throw new FleetError('not_found', `no run ${id}`);
    if (run.unconfirmed === 1) return this.#confirm(run, state, change);
    if (!canTransition(run.state, state)) {
      throw new FleetError('internal', `run ${id} cannot go from ${run.state} to ${state}`);
    }
    const reason = change.reason === undefined ? run.reason : change.reason;
    const next = { ...run, ...change, reason: reason && cutText(reason, MAX_MESSAGE_LENGTH), state };
    if (!isTerminal(state)) {
      this.#statements.step.run(state, next.deliveredAt, next.startedAt, next.seq);
      return next;
    }
    this.#statements.end.run(next);
    this.#onEnd(next);
    this.onEnd?.(next);
    return next;
  }

  /** Ends the run, by way of `delivered` if its node may have had it. */
  end(id: string, state: RunState, reason: string | null, endedAt: number, change: RunChange = {}): RunRecord {
    if (this.byId(id)?.state === 'queued' && !canTransition('queued', state)) this.move(id, 'delivered');
    return this.move(id, state, { ...change, reason, endedAt });
  }

  /** Others have acted on `unknown`, so it stays; the real outcome is kept beside it. */
  #confirm(run: RunRecord, state: RunState, change: RunChange): RunRecord {
    const { stdoutBytes, stderrBytes, droppedBytes, startedAt } = { ...run, ...change };
    const { exitCode, signal, reason } = change;
    const facts = [state === 'unknown' ? null : state, exitCode ?? signal, reason].filter((fact) => fact != null);
    const next: RunRecord = {
      ...run,
      ...{ stdoutBytes, stderrBytes, droppedBytes, startedAt, unconfirmed: 0 },
      reason: `${run.reason}; reported later: ${facts.join(' ')}`,
    };
    this.#statements.end.run(next);
    this.#onEnd(next);
    return next;
  }

  /** Requests a cancel; the first reason stays. */
  askCancel(seq: number, reason: string): void {
    this.#statements.askCancel.run(reason, seq);
  }

  /** Records that the command has exited, though the run has not ended. */
  setExited(seq: number, exited: RunExited): void {
    this.#statements.setExited.run(JSON.stringify(exited), seq);
  }

  /** Records, before the first hand-over, that the node with that journal may have the run from now on. */
  noteHandOver(run: RunRecord, handedOverAt: number, journal: string): RunRecord {
    this.#statements.handOver.run(handedOverAt, journal, run.seq);
    return { ...run, handedOverAt, journal };
  }

  /** The node declined the first hand-over for now, so it does not have the run. */
  takeBackHandOver(seq: number): void {
    this.#statements.takeBack.run(seq);
  }

  /** Appends to the log at `offset`. @returns false, with nothing stored, if the log does not end exactly there. */
  appendLog(
    run: Pick<RunRecord, 'seq'>,
    offset: number,
    bytes: Buffer,
    stdoutBytes: number,
    stderrBytes: number,
  ): boolean {
    const grown = this.#statements.grow.run({ seq: run.seq, offset, logBytes: bytes.length, stdoutBytes, stderrBytes });
    if (grown.changes !== 1) return false;
    this.#statements.appendLog.run(run.seq, offset, bytes);
    return true;
  }

  /** Start of the stored chunk that contains the offset. */
  chunkStart(seq: number, offset: number): number | null {
    return this.#statements.chunkStart.get(seq, offset) as number | null;
  }

  /** Log bytes from `from` on, from at most `limit` stored chunks; empty if there are none yet. */
  readLog(seq: number, from: number, limit = 1): Buffer {
    // Followers read chunk by chunk. The other query is re-planned each time because of its ORDER BY.
    const next = limit === 1 ? (this.#statements.chunkAt.get(seq, from) as Buffer | undefined) : undefined;
    if (next !== undefined) return next;
    const rows = this.#statements.readLog.all({ seq, from, limit }) as { offset: number; bytes: Buffer }[];
    const chunks = rows.flatMap(({ offset, bytes }) => {
      const skip = Math.max(0, from - offset);
      return skip < bytes.length ? [bytes.subarray(skip)] : [];
    });
    return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  }
}

/** The store as seen by this folder and those above it. */
export interface BusStore extends IdentityStore {
  readonly jobs: JobsTable;
  readonly runs: RunsTable;
  readonly retention: RetentionTable;
}
