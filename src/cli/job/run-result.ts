/** One run as `--json` prints it. CLI.md: "JSON that scripts rely on". */
import type { JobEvent, RunView } from '../../protocol/job-messages.ts';
import { decodeData, encodeData } from '../../protocol/text-data.ts';
import type { JobOutput } from './conduct-job.ts';

export interface RunResult extends Omit<RunView, 'index' | 'stdoutBytes' | 'stderrBytes'> {
  stdout: string;
  stderr: string;
  /** Only where the output is not UTF-8. */
  stdoutEncoding?: 'base64';
  stderrEncoding?: 'base64';
}

/** Reason of a run that has no other. */
const OUTPUT_TRUNCATED = 'output_truncated: some of the output was not kept';

/** Keeps all output of a job, for a document at its end. */
export class ResultCollector implements JobOutput {
  readonly #chunks = new Map<number, { stdout: Buffer[]; stderr: Buffer[] }>();

  handle(event: JobEvent): void {
    if (event.type !== 'stdout' && event.type !== 'stderr') return;
    const chunks = this.#chunks.get(event.index) ?? { stdout: [], stderr: [] };
    chunks[event.type].push(decodeData(event));
    this.#chunks.set(event.index, chunks);
  }

  resultOf({ index, stdoutBytes: _stdoutBytes, stderrBytes: _stderrBytes, ...run }: RunView): RunResult {
    const chunks = this.#chunks.get(index) ?? { stdout: [], stderr: [] };
    const stdout = encodeData(Buffer.concat(chunks.stdout));
    const stderr = encodeData(Buffer.concat(chunks.stderr));
    const { job, node, run: id, state, exitCode, signal, reason, truncated, ...times } = run;
    return {
      job,
      node,
      run: id,
      state,
      exitCode,
      signal,
      reason: reason ?? (truncated ? OUTPUT_TRUNCATED : null),
      stdout: stdout.data,
      stderr: stderr.data,
      ...('encoding' in stdout ? { stdoutEncoding: stdout.encoding } : {}),
      ...('encoding' in stderr ? { stderrEncoding: stderr.encoding } : {}),
      truncated,
      ...times,
    };
  }
}
