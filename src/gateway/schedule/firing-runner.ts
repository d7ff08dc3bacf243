/** Performs the firings of schedules, one at a time per schedule, and records how each ended. Resumes after a crash where it stopped. */
import { isTerminal } from '../../domain/states.ts';
import type { FiringOutcome } from '../../domain/vocabulary.ts';
import type { Clock } from '../../shared/clock.ts';
import { isoTime } from '../../shared/duration.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Bus } from '../bus/bus.ts';
import { succeeded } from '../bus/run-facts.ts';
import type { RunRecord } from '../bus/runs-table.ts';
import { type ReportPlaces, writeReportFile } from './report-file.ts';
import type { FiringRecord, ScheduleRecord, ScheduleStore } from './schedules-table.ts';

type JobAction = Extract<ScheduleRecord['action'], { kind: 'job' }>;
type ReportAction = Extract<ScheduleRecord['action'], { kind: 'report' }>;

export interface SchedulerOptions {
  store: ScheduleStore;
  bus: Pick<Bus, 'cancel' | 'feed'>;
  clock: Clock;
  logger: Logger;
  places: ReportPlaces;
  /** Submits a job durably; the same key of the same submitter gives the same job. */
  submit(
    request: JobAction['request'] & { idempotencyKey: string },
    submitter: string,
  ): Promise<{ job: { id: string } }>;
  /** The finished document about the time from `from`, ms, until now. */
  renderReport(format: string, from: number): Promise<string>;
  /** Called when times of a schedule have been done or left out, once that is stored. */
  onOutcome?(schedule: string, outcome: FiringOutcome, count: number): void;
}

export class FiringRunner {
  readonly #options: SchedulerOptions;
  /** Firings, by seq, that this process is performing. */
  readonly #active = new Set<number>();
  /** Stops watching the job of a firing, by its seq. */
  readonly #watched = new Map<number, () => void>();
  readonly #pending = new Set<Promise<void>>();
  #reports: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Takes over what an earlier process had started, or what could not be recorded. Idempotent. */
  resume(schedule: ScheduleRecord): void {
    const [first] = this.#options.store.schedules.openFirings(schedule.id);
    if (first === undefined || this.#active.has(first.seq)) return;
    this.#track(first.state === 'started' ? this.#perform(schedule, first) : this.advance(schedule.id));
  }

  /** Starts the next waiting firing unless one is in progress; resolves once its job is accepted or its report has begun. */
  async advance(scheduleId: string): Promise<void> {
    const { store, clock } = this.#options;
    if (this.#closed) return;
    let seq: number | undefined;
    const begin = (): FiringRecord | undefined => {
      const [first] = store.schedules.openFirings(scheduleId);
      if (first?.state !== 'waiting') return undefined;
      seq = first.seq;
      // Before anything can mistake it for one that an earlier process started.
      this.#active.add(seq);
      return store.schedules.changeFiring(seq, { state: 'started', firedAt: clock.now() });
    };
    const begun = await store.write(begin).catch((error: unknown) => {
      if (seq !== undefined) this.#active.delete(seq);
      throw error;
    });
    const schedule = store.schedules.byId(scheduleId);
    if (begun !== undefined && schedule !== undefined) await this.#perform(schedule, begun);
  }

  /** Cancels the job of a firing in progress. A report takes only a moment and is left to finish. */
  async replace({ seq }: FiringRecord): Promise<void> {
    const { store, bus } = this.#options;
    const jobId = store.schedules.firing(seq)?.jobId ?? null;
    if (jobId === null) return;
    const open = store.runs.ofJob(jobId).filter(({ state }) => !isTerminal(state));
    await bus.cancel(open, 'replaced by the next time of its schedule');
  }

  /** Jobs continue without it; resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#watched.values()) stop();
    this.#watched.clear();
    await Promise.all([...this.#pending, this.#reports]);
  }

  async #perform(schedule: ScheduleRecord, firing: FiringRecord): Promise<void> {
    const { action } = schedule;
    this.#active.add(firing.seq);
    if (action.kind === 'report') {
      // One at a time: a report on many nodes keeps a whole core busy.
      const written = this.#reports.then(() => this.#report(action, firing));
      this.#reports = written;
      return;
    }
    try {
      await this.#job(schedule, action, firing);
    } catch (error) {
      await this.#failed(firing, error);
    }
  }

  async #job({ id, name }: ScheduleRecord, { request }: JobAction, firing: FiringRecord): Promise<void> {
    const { store, submit } = this.#options;
    // After a crash, the same key finds the same job.
    const idempotencyKey = `${id}@${isoTime(firing.plannedAt)}`;
    const submitter = `schedule:${name}`;
    const jobId =
      firing.jobId ??
      store.jobs.byIdempotencyKey(submitter, idempotencyKey)?.id ??
      (await submit({ ...request, idempotencyKey }, submitter)).job.id;
    await store.write(() => store.schedules.changeFiring(firing.seq, { jobId }));
    this.#watch(firing, jobId);
  }

  #watch(firing: FiringRecord, jobId: string): void {
    const { store, bus } = this.#options;
    if (this.#closed) return;
    const open = new Set(store.runs.ofJob(jobId).flatMap(({ id, state }) => (isTerminal(state) ? [] : [id])));
    const ended = (): void => {
      this.#watched.get(firing.seq)?.();
      this.#watched.delete(firing.seq);
      this.#track(this.#end(firing, outcomeOf(store.runs.ofJob(jobId))));
    };
    if (open.size === 0) {
      ended();
      return;
    }
    const stop = bus.feed.subscribe(jobId, (runId) => {
      const run = store.runs.byId(runId);
      if (run !== undefined && !isTerminal(run.state)) return;
      if (open.delete(runId) && open.size === 0) ended();
    });
    this.#watched.set(firing.seq, stop);
  }

  async #report({ format, sinceMs, out }: ReportAction, firing: FiringRecord): Promise<void> {
    if (this.#closed) return;
    const { clock, places, renderReport } = this.#options;
    try {
      const file = await writeReportFile(out, await renderReport(format, clock.now() - sinceMs), places);
      await this.#end(firing, { state: 'succeeded', reason: `written to ${file}` });
    } catch (error) {
      await this.#failed(firing, error).catch(this.#logFailure);
    }
  }

  async #failed(firing: FiringRecord, error: unknown): Promise<void> {
    const failure = toFleetError(error);
    this.#options.logger.warn({ err: error, planned: firing.plannedAt }, 'a scheduled action failed');
    await this.#end(firing, { state: 'failed', reason: `${failure.code}: ${failure.message}` });
  }

  async #end({ seq, scheduleId }: FiringRecord, outcome: Outcome): Promise<void> {
    const { store, clock, onOutcome } = this.#options;
    const work = () => store.schedules.changeFiring(seq, { ...outcome, endedAt: clock.now() });
    const ended = await store.write(work).finally(() => this.#active.delete(seq));
    const schedule = ended && store.schedules.byId(scheduleId);
    if (schedule !== undefined) onOutcome?.(schedule.name, outcome.state, 1);
    // Not awaited: the next firing may take any amount of time.
    this.#track(this.advance(scheduleId));
  }

  #track(work: Promise<void>): void {
    const pending = work.catch(this.#logFailure).finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
  }

  readonly #logFailure = (error: unknown): void => {
    this.#options.logger.error({ err: error }, 'a schedule could not continue and will be retried');
  };
}

interface Outcome {
  state: 'succeeded' | 'failed';
  reason: string | null;
}

/** Succeeded if there were runs and all of them succeeded. */
function outcomeOf(runs: readonly RunRecord[]): Outcome {
  if (runs.length === 0) return { state: 'failed', reason: 'no node matched' };
  const failed = runs.filter((run) => !succeeded(run));
  if (failed.length === 0) return { state: 'succeeded', reason: null };
  return { state: 'failed', reason: `${failed.length} of ${runs.length} runs failed` };
}
