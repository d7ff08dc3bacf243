/** Whether a process of this machine still lives. */
import { readFileSync } from 'node:fs';
import { systemErrorCode } from '../../shared/errors.ts';

/** A zombie counts as gone: in a container, nobody may ever collect it. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists and is somebody else's (kill(2)).
    return systemErrorCode(error) === 'EPERM';
  }
  return !isZombie(pid);
}

function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    // proc_pid_stat(5): the state is the first field behind the name, which may itself contain parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT';
  }
}
