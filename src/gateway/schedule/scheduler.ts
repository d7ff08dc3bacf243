/** Wakes up when a schedule is due and records the decision before acting on it, so that a crash neither loses nor repeats a firing. */
import type { Timer } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { closeAll } from '../../shared/lifecycle.ts';
import { lookUp } from '../store/look-up.ts';
import { type CronTimes, parseCron } from './cron.ts';
import { FiringRunner, type SchedulerOptions } from './firing-runner.ts';
import { enterFiring, isFarAhead, type Plan, planFirings } from './plan-firings.ts';
import type { FiringRecord, ScheduleRecord } from './schedules-table.ts';

/** Longest interval between checks, ms: timers do not notice that the wall clock jumped. */
const MAX_SLEEP_MS = 15_000;
/** Delay after a firing that was due could not be recorded, ms. */
const RETRY_MS = 1_000;
const MAX_SCHEDULES = 1_000;

/** Firings to cancel, and how many were left out. */
interface Decided {
  replaced: FiringRecord[];
  skipped: number;
  missed: number;
}

interface NextTime {
  times: CronTimes | undefined;
  /** The next time after `cursor`. */
  next: number | null;
  cursor: number;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #runner: FiringRunner;
  /** By id of the schedule. */
  readonly #nextTimes = new Map<string, NextTime>();
  #timer: Timer | undefined;
  #tick: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#runner = new FiringRunner(options);
  }

  /** Resumes what an earlier process had begun, and catches up on what was missed. */
  start(): void {
    this.#wake();
  }

  /** Jobs continue. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await closeAll(
      () => this.#tick,
      () => this.#runner.close(),
    );
  }

  /** Resolves once it is durable. @throws FleetError `usage`, `conflict`, `busy`. */
  async add(schedule: ScheduleRecord): Promise<void> {
    const { store } = this.#options;
    parseCron(schedule.cron, schedule.timeZone);
    await store.write(() => {
      const [present] = lookUp(store.schedules, schedule.name);
      if (present !== undefined) {
        const problem =
          present.name === schedule.name
            ? `there is a schedule called ${schedule.name} already`
            : `${schedule.name} could be mistaken for the id of schedule ${present.name}, ${present.id}`;
        throw new FleetError('conflict', problem, {
          hint: `Choose another --name, or remove it first: fleet schedule rm ${present.name}`,
        });
      }
      if (store.schedules.all().length >= MAX_SCHEDULES) {
        throw new FleetError('busy', `there are ${MAX_SCHEDULES} schedules already`, { hint: 'Remove some of them.' });
      }
      store.schedules.insert(schedule);
    });
    this.#arm();
  }

  /** Its jobs continue. */
  async remove({ id }: ScheduleRecord): Promise<void> {
    await this.#options.store.write(() => this.#options.store.schedules.remove(id));
    this.#nextTimes.delete(id);
    this.#arm();
  }

  async setPaused({ id }: ScheduleRecord, paused: boolean): Promise<void> {
    const { store, clock } = this.#options;
    await store.write(() => store.schedules.setPaused(id, paused, clock.now()));
    this.#arm();
  }

  /** Fires the schedule now, whatever its times; resolves when that has started, waits, or was skipped. */
  async runNow(schedule: ScheduleRecord): Promise<FiringRecord> {
    const { store, clock } = this.#options;
    const { firing, replaced, skipped } = await store.write(() => {
      const now = clock.now();
      // Each time has one row; this firing takes the next free millisecond.
      let plannedAt = now;
      while (store.schedules.hasFiring(schedule.id, plannedAt)) plannedAt += 1;
      return enterFiring(store.schedules, schedule, { plannedAt, cause: 'hand', now, inLine: false });
    });
    if (firing === undefined) throw new FleetError('internal', 'a free millisecond was taken');
    await this.#apply(schedule, { replaced, skipped, missed: 0 });
    await this.#runner.advance(schedule.id);
    return store.schedules.firing(firing.seq) ?? firing;
  }

  /** Null if it is paused or never comes again. */
  nextAt(schedule: ScheduleRecord): number | null {
    return schedule.pausedAt === null ? this.#nextTimeOf(schedule).next : null;
  }

  #wake(): void {
    this.#tick = this.#decideAll()
      .catch((error: unknown) => this.#options.logger.error({ err: error }, 'could not evaluate the schedules'))
      .then(() => this.#arm());
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    const { store, clock } = this.#options;
    let delayMs = MAX_SLEEP_MS;
    for (const schedule of store.schedules.all()) {
      const next = this.nextAt(schedule);
      if (next === null) continue;
      const leftMs = next - clock.now();
      delayMs = Math.min(delayMs, leftMs > 0 ? leftMs : RETRY_MS);
    }
    this.#timer = clock.after(delayMs, () => this.#wake());
  }

  async #decideAll(): Promise<void> {
    const { store, clock } = this.#options;
    for (const schedule of store.schedules.all()) {
      const plan = this.#planOf(schedule, clock.now());
      if (plan !== undefined) await this.#apply(schedule, await this.#record(schedule, plan));
      this.#runner.resume(schedule);
    }
  }

  /** Undefined if there is nothing to decide. */
  #planOf(schedule: ScheduleRecord, now: number): Plan | undefined {
    const { times, next } = this.#nextTimeOf(schedule);
    if (schedule.pausedAt !== null || times === undefined) return undefined;
    if (next !== null && next > now && !isFarAhead(schedule.cursor, now)) return undefined;
    const plan = planFirings({ times, cursor: schedule.cursor, now, catchUp: schedule.catchUp });
    return plan.cursor === schedule.cursor ? undefined : plan;
  }

  async #apply({ name }: ScheduleRecord, { replaced, skipped, missed }: Decided): Promise<void> {
    const { onOutcome } = this.#options;
    if (skipped > 0) onOutcome?.(name, 'skipped', skipped);
    if (missed > 0) onOutcome?.(name, 'missed', missed);
    for (const firing of replaced) await this.#runner.replace(firing);
  }

  /** Stores in one transaction what is due, what was missed, and that both are decided. */
  async #record({ id, cursor }: ScheduleRecord, plan: Plan): Promise<Decided> {
    const { store, clock, logger } = this.#options;
    return await store.write(() => {
      const schedule = store.schedules.byId(id);
      // It may have been removed, paused or moved back meanwhile.
      if (schedule === undefined || schedule.cursor !== cursor || schedule.pausedAt !== null)
        return { replaced: [], skipped: 0, missed: 0 };
      const now = clock.now();
      if (plan.missed !== undefined) {
        const reason = 'the gateway was not running, or its clock jumped';
        const entry = { scheduleId: id, cause: 'time', state: 'missed', endedAt: now, reason } as const;
        store.schedules.addFiring({ ...entry, ...plan.missed });
        logger.warn({ schedule: schedule.name, count: plan.missed.count }, 'times of a schedule were missed');
      }
      const inLine = plan.due.length > 1;
      const entered = plan.due.map((due) => enterFiring(store.schedules, schedule, { ...due, now, inLine }));
      store.schedules.setCursor({ id, cursor: plan.cursor });
      return {
        replaced: entered.flatMap(({ replaced }) => replaced),
        skipped: entered.reduce((sum, { skipped }) => sum + skipped, 0),
        missed: plan.missed?.count ?? 0,
      };
    });
  }

  #nextTimeOf({ id, name, cron, timeZone, cursor }: ScheduleRecord): NextTime {
    const present = this.#nextTimes.get(id);
    if (present?.cursor === cursor) return present;
    const times = present === undefined ? this.#parse(name, cron, timeZone) : present.times;
    const known = { times, next: times?.after(cursor) ?? null, cursor };
    this.#nextTimes.set(id, known);
    return known;
  }

  /** It was valid when it was added, but the machine's time zones may have changed since. */
  #parse(name: string, cron: string, timeZone: string): CronTimes | undefined {
    try {
      return parseCron(cron, timeZone);
    } catch (error) {
      this.#options.logger.error({ schedule: name, reason: toFleetError(error).message }, 'a schedule is not valid');
      return undefined;
    }
  }
}
