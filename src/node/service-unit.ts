/** Whether the service manager would end the commands together with the node: they are to outlive it. systemd.kill(5) */
import type { ToolResult } from './process/run-tool.ts';

/** `mixed` sends SIGTERM to the node alone, and then SIGKILL to everything. */
const ENDS_COMMANDS = /^(control-group|mixed)$/;

/**
 * What to say about the systemd unit that this process belongs to, if stopping it would end running commands. `cgroups` is the text of
 * /proc/self/cgroup.
 */
export async function warnOfKillMode(
  cgroups: string,
  runTool: (file: string, args: readonly string[]) => Promise<ToolResult>,
): Promise<string | undefined> {
  const path = /^(?:0:|\d+:name=systemd):(\/.*)$/m.exec(cgroups.split('\n').sort(systemdFirst).join('\n'))?.[1] ?? '';
  const unit = path.split('/').findLast((name) => name.endsWith('.service'));
  if (unit === undefined || /^user@\d+\.service$/.test(unit)) return undefined;
  const manager = /\/user@\d+\.service\//.test(path) ? ['--user'] : [];
  const { exitCode, stdout } = await runTool('systemctl', [...manager, 'show', '--property=KillMode', '--value', unit]);
  const mode = stdout.trim();
  if (exitCode !== 0 || !ENDS_COMMANDS.test(mode)) return undefined;
  return `stopping or restarting ${unit} would end all running commands (KillMode=${mode}); set KillMode=process in its [Service] section`;
}

/** Beside version 1, systemd's own hierarchy is the one that counts. */
function systemdFirst(a: string, b: string): number {
  return Number(b.includes(':name=systemd:')) - Number(a.includes(':name=systemd:'));
}
