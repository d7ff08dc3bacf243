/** Does what schedules have decided, one firing of a schedule at a time, and notes how it ended. Goes on after a crash where it was. */
import { isTerminal } from '../../domain/states.ts';
import type { Clock } from '../../shared/clock.ts';
import { isoTime } from '../../shared/duration.ts';
import { toFleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Bus } from '../bus/bus.ts';
import { succeeded } from '../bus/run-facts.ts';
import type { RunRecord } from '../bus/runs-table.ts';
import type { FiringRecord, ScheduleRecord, ScheduleStore } from './schedules-table.ts';

type JobAction = Extract<ScheduleRecord['action'], { kind: 'job' }>;
type ReportAction = Extract<ScheduleRecord['action'], { kind: 'report' }>;

interface FiringRunnerOptions {
  store: ScheduleStore;
  bus: Pick<Bus, 'cancel' | 'feed'>;
  clock: Clock;
  logger: Logger;
  /** Submits durably and gives the job's id; the same key of the same submitter gives the same job. */
  submit(request: JobAction['request'] & { idempotencyKey: string }, submitter: string): Promise<string>;
  /** Writes a report; resolves with the path of the file. */
  writeReport(action: ReportAction): Promise<string>;
  /** Called for each firing that has ended. */
  onEnd?(firing: FiringRecord): void;
}

export class FiringRunner {
  readonly #options: FiringRunnerOptions;
  /** Firings, by seq, that this process has in hand. */
  readonly #inHand = new Set<number>();
  /** Stops watching the job of a firing, by its seq. */
  readonly #watched = new Map<number, () => void>();
  readonly #pending = new Set<Promise<void>>();
  #reports: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: FiringRunnerOptions) {
    this.#options = options;
  }

  /** Takes up what a former process had begun, or what could not be written down. Idempotent. */
  resume(schedule: ScheduleRecord): void {
    const [first] = this.#options.store.schedules.openFirings(schedule.id);
    if (first === undefined || this.#inHand.has(first.seq)) return;
    this.#track(first.state === 'started' ? this.#perform(schedule, first) : this.advance(schedule.id));
  }

  /** Begins the next firing that waits, unless one is under way; resolves once its job is accepted, or its report begun. */
  async advance(scheduleId: string): Promise<void> {
    const { store, clock } = this.#options;
    if (this.#closed) return;
    let seq: number | undefined;
    const begin = (): FiringRecord | undefined => {
      const [first] = store.schedules.openFirings(scheduleId);
      if (first?.state !== 'waiting') return undefined;
      seq = first.seq;
      // Before anybody can see it as started by a former process.
      this.#inHand.add(seq);
      return store.schedules.changeFiring(seq, { state: 'started', firedAt: clock.now() });
    };
    const begun = await store.write(begin).catch((error: unknown) => {
      if (seq !== undefined) this.#inHand.delete(seq);
      throw error;
    });
    const schedule = store.schedules.byId(scheduleId);
    if (begun !== undefined && schedule !== undefined) await this.#perform(schedule, begun);
  }

  /** Ends the job of a firing that is under way. A report is written in a moment and is let be. */
  async replace({ seq }: FiringRecord): Promise<void> {
    const { store, bus } = this.#options;
    const jobId = store.schedules.firing(seq)?.jobId ?? null;
    if (jobId === null) return;
    const open = store.runs.ofJob(jobId).filter(({ state }) => !isTerminal(state));
    await bus.cancel(open, 'replaced by the next time of its schedule');
  }

  /** Lets go of jobs, which run on; resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#watched.values()) stop();
    this.#watched.clear();
    await Promise.all([...this.#pending, this.#reports]);
  }

  async #perform(schedule: ScheduleRecord, firing: FiringRecord): Promise<void> {
    const { action } = schedule;
    this.#inHand.add(firing.seq);
    if (action.kind === 'report') {
      // One after the other: a report on many nodes takes the whole processor.
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
    // Whoever crashes after this comes here again with the same key, and gets the same job.
    const idempotencyKey = `${id}@${isoTime(firing.plannedAt)}`;
    const submitter = `schedule:${name}`;
    const jobId =
      firing.jobId ??
      store.jobs.byIdempotencyKey(submitter, idempotencyKey)?.id ??
      (await submit({ ...request, idempotencyKey }, submitter));
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

  async #report(action: ReportAction, firing: FiringRecord): Promise<void> {
    if (this.#closed) return;
    try {
      const file = await this.#options.writeReport(action);
      await this.#end(firing, { state: 'succeeded', reason: `written to ${file}` });
    } catch (error) {
      await this.#failed(firing, error).catch(this.#logFailure);
    }
  }

  async #failed(firing: FiringRecord, error: unknown): Promise<void> {
    const failure = toFleetError(error);
    this.#options.logger.warn({ err: error, planned: firing.plannedAt }, 'a schedule could not do what was due');
    await this.#end(firing, { state: 'failed', reason: `${failure.code}: ${failure.message}` });
  }

  async #end({ seq, scheduleId }: FiringRecord, outcome: Pick<FiringRecord, 'state' | 'reason'>): Promise<void> {
    const { store, clock, onEnd } = this.#options;
    const work = (): FiringRecord | undefined =>
      store.schedules.changeFiring(seq, { ...outcome, endedAt: clock.now() });
    const ended = await store.write(work).finally(() => this.#inHand.delete(seq));
    if (ended !== undefined) onEnd?.(ended);
    // Not waited for: what comes next may take as long as it likes.
    this.#track(this.advance(scheduleId));
  }

  #track(work: Promise<void>): void {
    const pending = work.catch(this.#logFailure).finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
  }

  readonly #logFailure = (error: unknown): void => {
    this.#options.logger.error({ err: error }, 'a schedule could not go on; it is tried again');
  };
}

/** Succeeded when all runs did, and there was one. */
function outcomeOf(runs: readonly RunRecord[]): Pick<FiringRecord, 'state' | 'reason'> {
  if (runs.length === 0) return { state: 'failed', reason: 'no node was meant' };
  const failed = runs.filter((run) => !succeeded(run));
  if (failed.length === 0) return { state: 'succeeded', reason: null };
  return { state: 'failed', reason: `${failed.length} of ${runs.length} runs failed` };
}
