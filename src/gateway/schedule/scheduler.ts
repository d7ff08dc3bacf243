/** Wakes when a schedule is due and writes down what is to be done before it is done, so that no crash loses or repeats it. */
import type { Clock, Timer } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { closeAll } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/logger.ts';
import { lookUp } from '../store/look-up.ts';
import { type CronTimes, parseCron } from './cron.ts';
import type { FiringRunner } from './firing-runner.ts';
import { enterFiring, isFarAhead, type Plan, planFirings } from './plan-firings.ts';
import type { FiringRecord, ScheduleRecord, ScheduleStore } from './schedules-table.ts';

/** Timers do not see that the wall clock jumped: a look at it this often, ms. */
const LONGEST_SLEEP_MS = 15_000;
/** After a time that is due could not be written down, ms. */
const RETRY_MS = 1_000;
/** Most schedules. */
const MAX_SCHEDULES = 1_000;

interface SchedulerOptions {
  store: ScheduleStore;
  runner: Pick<FiringRunner, 'advance' | 'replace' | 'resume' | 'close'>;
  clock: Clock;
  logger: Logger;
  /** Called once it is stored that so many times of a schedule are left out. */
  onLeftOut?(schedule: string, outcome: 'skipped' | 'missed', count: number): void;
}

/** What became of times that were due, beside those that wait now. */
interface Decided {
  /** To be ended. */
  replaced: FiringRecord[];
  skipped: number;
  missed: number;
}

interface Known {
  times: CronTimes | undefined;
  /** The next time after `cursor`. */
  next: number | null;
  cursor: number;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #known = new Map<string, Known>();
  #timer: Timer | undefined;
  #tick: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Goes on with what a former process had begun, and makes up for what was missed. */
  start(): void {
    this.#wake();
  }

  /** Decides nothing more. Jobs run on. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await closeAll(
      () => this.#tick,
      () => this.#options.runner.close(),
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
            : `${schedule.name} would be taken for the schedule ${present.name}, whose id is ${present.id}`;
        throw new FleetError('conflict', problem, {
          hint: `Take another --name, or remove it first: fleet schedule rm ${present.name}`,
        });
      }
      if (store.schedules.all().length >= MAX_SCHEDULES) {
        throw new FleetError('busy', `there are ${MAX_SCHEDULES} schedules already`, { hint: 'Remove some of them.' });
      }
      store.schedules.insert(schedule);
    });
    this.#arm();
  }

  /** Its jobs run on. */
  async remove({ id }: ScheduleRecord): Promise<void> {
    await this.#options.store.write(() => this.#options.store.schedules.remove(id));
    this.#known.delete(id);
    this.#arm();
  }

  async setPaused({ id }: ScheduleRecord, paused: boolean): Promise<void> {
    const { store, clock } = this.#options;
    await store.write(() => store.schedules.setPaused(id, paused, clock.now()));
    this.#arm();
  }

  /** Does now what the schedule does, whatever its times; resolves when it is begun, waits, or is skipped. */
  async runNow(schedule: ScheduleRecord): Promise<FiringRecord> {
    const { store, runner, clock } = this.#options;
    const { firing, replaced, skipped } = await store.write(() => {
      const now = clock.now();
      // A time has one entry; the one that is asked for by hand takes the next moment that is free.
      let plannedAt = now;
      while (store.schedules.hasFiring(schedule.id, plannedAt)) plannedAt += 1;
      return enterFiring(store.schedules, schedule, { plannedAt, cause: 'hand', now, inLine: false });
    });
    if (firing === undefined) throw new FleetError('internal', 'a moment that was free is taken');
    this.#tellLeftOut(schedule, { replaced, skipped, missed: 0 });
    for (const old of replaced) await runner.replace(old);
    await runner.advance(schedule.id);
    return store.schedules.firing(firing.seq) ?? firing;
  }

  /** Null when it is paused or never comes again. */
  nextAt(schedule: ScheduleRecord): number | null {
    return schedule.pausedAt === null ? this.#knownOf(schedule).next : null;
  }

  #wake(): void {
    this.#tick = this.#decideAll()
      .catch((error: unknown) => this.#options.logger.error({ err: error }, 'schedules could not be looked at'))
      .then(() => this.#arm());
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    const { store, clock } = this.#options;
    let delayMs = LONGEST_SLEEP_MS;
    for (const schedule of store.schedules.all()) {
      const next = this.nextAt(schedule);
      if (next === null) continue;
      const leftMs = next - clock.now();
      delayMs = Math.min(delayMs, leftMs > 0 ? leftMs : RETRY_MS);
    }
    this.#timer = clock.after(delayMs, () => this.#wake());
  }

  async #decideAll(): Promise<void> {
    const { store, runner, clock } = this.#options;
    for (const schedule of store.schedules.all()) {
      const plan = this.#planOf(schedule, clock.now());
      if (plan !== undefined) {
        const decided = await this.#writeDown(schedule, plan);
        this.#tellLeftOut(schedule, decided);
        for (const old of decided.replaced) await runner.replace(old);
      }
      runner.resume(schedule);
    }
  }

  /** Undefined when there is nothing to decide. */
  #planOf(schedule: ScheduleRecord, now: number): Plan | undefined {
    const { times, next } = this.#knownOf(schedule);
    if (schedule.pausedAt !== null || times === undefined) return undefined;
    if (next !== null && next > now && !isFarAhead(schedule.cursor, now)) return undefined;
    const plan = planFirings({ times, cursor: schedule.cursor, now, catchUp: schedule.catchUp });
    return plan.cursor === schedule.cursor ? undefined : plan;
  }

  #tellLeftOut({ name }: ScheduleRecord, { skipped, missed }: Decided): void {
    const { onLeftOut } = this.#options;
    if (skipped > 0) onLeftOut?.(name, 'skipped', skipped);
    if (missed > 0) onLeftOut?.(name, 'missed', missed);
  }

  /** In one transaction: what is due, what was missed, and that both are decided. */
  async #writeDown({ id, cursor }: ScheduleRecord, plan: Plan): Promise<Decided> {
    const { store, clock, logger } = this.#options;
    return await store.write(() => {
      const schedule = store.schedules.byId(id);
      // Removed, paused, or set back meanwhile.
      if (schedule === undefined || schedule.cursor !== cursor || schedule.pausedAt !== null)
        return { replaced: [], skipped: 0, missed: 0 };
      const now = clock.now();
      if (plan.missed !== undefined) {
        const reason = 'the gateway was not running, or its clock jumped';
        const { plannedAt, count } = plan.missed;
        store.schedules.addFiring({
          scheduleId: id,
          plannedAt,
          cause: 'time',
          state: 'missed',
          endedAt: now,
          reason,
          count,
        });
        logger.warn({ schedule: schedule.name, count }, 'times of a schedule were missed');
      }
      const inLine = plan.due.length > 1;
      const entered = plan.due.map((due) => enterFiring(store.schedules, schedule, { ...due, now, inLine }));
      store.schedules.setCursor(id, plan.cursor);
      return {
        replaced: entered.flatMap(({ replaced }) => replaced),
        skipped: entered.reduce((sum, { skipped }) => sum + skipped, 0),
        missed: plan.missed?.count ?? 0,
      };
    });
  }

  #knownOf({ id, name, cron, timeZone, cursor }: ScheduleRecord): Known {
    const present = this.#known.get(id);
    if (present !== undefined && present.cursor === cursor) return present;
    const times = present === undefined ? this.#parse(name, cron, timeZone) : present.times;
    const known = { times, next: times?.after(cursor) ?? null, cursor };
    this.#known.set(id, known);
    return known;
  }

  /** It could be read when it was added; the time zones of this machine may be others now. */
  #parse(name: string, cron: string, timeZone: string): CronTimes | undefined {
    try {
      return parseCron(cron, timeZone);
    } catch (error) {
      this.#options.logger.error({ schedule: name, reason: toFleetError(error).message }, 'a schedule cannot be read');
      return undefined;
    }
  }
}
