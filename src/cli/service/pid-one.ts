/**
 * A container's first process inherits all orphans, and must collect them when they end. Node.js cannot (it has no waitpid), but any
 * shell does while it waits; so a service that finds itself to be process 1 puts a shell in its place and goes on as its child.
 */

/** Passes signals on, and ends with the exit code of the service. `wait` returns early for a signal. */
const SCRIPT = `
for name in TERM INT HUP; do trap "kill -$name \\$child" $name; done
"$@" <&0 & child=$!
while :; do wait $child; code=$?; kill -0 $child 2>/dev/null || exit $code; done`;

export interface Surroundings {
  pid: number;
  argv: readonly string[];
  self: { file: string; args: readonly string[] };
  /** Replaces this process. */
  execve(file: string, args: readonly string[]): void;
  hasShell: boolean;
  warn(text: string): void;
}

/** Returns if this process is to go on itself. */
export function leavePidOne({ pid, argv, self, execve, hasShell, warn }: Surroundings): void {
  // Other commands end before it matters.
  if (pid !== 1 || !argv.includes('up')) return;
  if (hasShell) execve('/bin/sh', ['sh', '-c', SCRIPT, 'fleet', self.file, ...self.args, ...argv]);
  else
    warn(
      'fleet: process 1 must collect orphans, which this one cannot: start the container with `docker run --init`\n',
    );
}
