/** `--outdir`: a copy of each node's exact bytes in files. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { decodeData } from '../../protocol/text-data.ts';
import { OutputDirectory } from '../output/outdir.ts';
import type { JobOutput } from './conduct-job.ts';

export class FolderOutput implements JobOutput {
  readonly #directory: OutputDirectory;

  constructor(path: string) {
    this.#directory = new OutputDirectory(path);
  }

  /** Makes the folder. @throws FleetError `storage_failed`. */
  open(): void {
    this.#directory.open();
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') {
      this.#directory.write(event.node, event.type, decodeData(event));
    } else if (event.type === 'end') {
      this.#directory.finish(event.node);
    }
  }
}
