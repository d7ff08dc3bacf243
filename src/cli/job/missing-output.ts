/** Notices output that a command wrote and that does not arrive here: names each gap, and fails the command line unless a person watches. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { formatBytes } from '../output/format-bytes.ts';
import { EXIT_FLEET_FAILED } from '../output/run-exit-code.ts';
import type { OutputPort } from '../output-port.ts';
import { formatError } from '../print-error.ts';
import type { JobOutput } from './conduct-job.ts';

export interface MissingOutputOptions {
  out: Pick<OutputPort, 'isTerminal'>;
  err: Pick<OutputPort, 'write'>;
  /** --allow-truncation: incomplete output is no failure. */
  allowed: boolean;
  /** --json, --jsonl: the output itself says what is missing. */
  machine: boolean;
  /** The output also goes into files (--outdir), so a person at the terminal does not see that some is missing. */
  files?: boolean;
}

export class MissingOutput implements JobOutput {
  readonly #options: MissingOutputOptions;
  /** Runs of which the person knows all gaps. */
  readonly #told = new Set<string>();
  #isMissing = false;

  constructor(options: MissingOutputOptions) {
    this.#options = options;
  }

  handle(event: JobEvent): void {
    const { err, machine } = this.#options;
    if (event.type === 'end') {
      const isInDoubt = event.reason !== null && /\boutput_gap\b/.test(event.reason);
      this.#isMissing ||= isInDoubt || (event.truncated && !event.whole);
      if (event.whole) this.#told.add(event.run);
    }
    if (event.type !== 'gap') return;
    this.#isMissing = true;
    this.#told.add(event.run);
    if (machine) return;
    const amounts = `${formatBytes(event.stdoutBytes)} of stdout and ${formatBytes(event.stderrBytes)} of stderr`;
    err.write(formatError({ message: `${event.node}: ${amounts} were not kept`, hint: undefined }));
  }

  /** Whether the person need not be told that the run's output was truncated. */
  isTold(run: string): boolean {
    return this.#told.has(run);
  }

  /** `exitCode`, or 255 and the reason when output is missing that nobody at a terminal could miss. */
  exitCode(exitCode: number): number {
    const { out, err, allowed, machine, files = false } = this.#options;
    if (!this.#isMissing || allowed || (out.isTerminal && !files)) return exitCode;
    const instead = exitCode === EXIT_FLEET_FAILED ? '' : ` instead of ${exitCode}`;
    const message = `output is missing, so the exit code is ${EXIT_FLEET_FAILED}${instead}`;
    if (!machine) err.write(formatError({ message, hint: 'To accept incomplete output: --allow-truncation' }));
    return EXIT_FLEET_FAILED;
  }
}
