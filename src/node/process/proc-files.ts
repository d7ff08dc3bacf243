/** Parsers of Linux's /proc files, for the process table and for the metrics. */

interface ProcessStat {
  pid: number;
  /** At most 15 bytes. */
  name: string;
  /** One letter, e.g. `Z` for a zombie. */
  state: string;
  parent: number;
  group: number;
  session: number;
  /** User and system time together, clock ticks. */
  cpuTicks: number;
  /** Clock ticks since boot; tells a process from an earlier one with the same pid. */
  startTicks: number;
}

/** Parses /proc/PID/stat, proc_pid_stat(5). The name is in parentheses and may itself contain spaces and parentheses. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const match = /^(\d+) \((.*)\) ([A-Za-z]) (.+)$/s.exec(text.trimEnd());
  if (match === null) return undefined;
  const [, pid, name = '', state = '', rest = ''] = match;
  // From field 4 on.
  const fields = rest.split(' ').map(Number);
  const figures = [0, 1, 2, 10, 11, 18].map((at) => fields[at] ?? Number.NaN);
  if (!figures.every(Number.isSafeInteger)) return undefined;
  const [parent = 0, group = 0, session = 0, userTicks = 0, systemTicks = 0, startTicks = 0] = figures;
  return { pid: Number(pid), name, state, parent, group, session, cpuTicks: userTicks + systemTicks, startTicks };
}

/**
 * First line of /proc/stat, proc_stat(5): user nice system idle iowait irq softirq steal, in ticks; guest time is already in user.
 * @throws RangeError if it is missing.
 */
export function parseCpuTimes(stat: string): { busy: number; total: number } {
  const fields = /^cpu +(.+)$/m.exec(stat)?.[1]?.trim().split(/ +/).slice(0, 8).map(Number);
  if (fields === undefined || fields.length < 4 || fields.some(Number.isNaN)) throw new RangeError('no cpu line');
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  const [, , , idle = 0, iowait = 0] = fields;
  return { busy: total - idle - iowait, total };
}
