/** Says on stderr, where it happens, that output of a command was not kept; and remembers of which. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { formatBytes } from '../output/format-bytes.ts';
import type { OutputPort } from '../output-port.ts';
import { formatError } from '../print-error.ts';
import type { JobOutput } from './conduct-job.ts';

export class GapNotes implements JobOutput {
  readonly #err: OutputPort;
  readonly #told = new Set<string>();

  constructor(err: OutputPort) {
    this.#err = err;
  }

  handle(event: JobEvent): void {
    if (event.type !== 'gap') return;
    this.#told.add(event.run);
    const amounts = `${formatBytes(event.stdoutBytes)} of stdout and ${formatBytes(event.stderrBytes)} of stderr`;
    this.#err.write(formatError({ message: `${event.node}: ${amounts} were not kept`, hint: undefined }));
  }

  /** Whether that was said of the run. */
  has(run: string): boolean {
    return this.#told.has(run);
  }
}
