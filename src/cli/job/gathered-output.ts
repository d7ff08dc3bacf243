/** `-b` and `--diff`: output that is the same on many nodes is shown once, at the end. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { decodeData } from '../../protocol/text-data.ts';
import type { CliContext } from '../context.ts';
import { diffOutputs } from '../output/diff-outputs.ts';
import { OutputGatherer, printGroups } from '../output/gather.ts';
import type { JobOutput } from './conduct-job.ts';

export class GatheredOutput implements JobOutput {
  readonly #gatherer = new OutputGatherer();
  /** Runs that have written and not ended. */
  readonly #open = new Map<string, string>();

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') {
      this.#open.set(event.run, event.node);
      this.#gatherer.write(event.node, event.type, decodeData(event));
    } else if (event.type === 'end') {
      this.#open.delete(event.run);
      // A command that never ran has said nothing, which is not the same as having been silent.
      if (event.startedAt !== null) this.#gatherer.finish(event.node);
    }
  }

  /** Counts what runs that still go on have written so far as all that they say. */
  close(): void {
    for (const node of this.#open.values()) this.#gatherer.finish(node);
    this.#open.clear();
  }

  print({ out, err }: CliContext): void {
    printGroups(this.#gatherer, { stdout: out, stderr: err }, out.style.cyan);
  }

  /** How each group's stdout differs from that of the largest one. */
  async printDiff({ out, err }: CliContext): Promise<void> {
    const groups = this.#gatherer.groups('stdout');
    const diff = await diffOutputs(groups, out.style);
    out.write(diff);
    if (diff === '' && groups.length === 1) err.write('fleet: all outputs are equal\n');
  }
}
