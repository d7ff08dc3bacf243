/** `fleet run`: the command's bytes come out as its own would, untouched. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { decodeData } from '../../protocol/text-data.ts';
import type { OutputSinks } from '../output/byte-sink.ts';
import type { JobOutput } from './conduct-job.ts';

export class RawOutput implements JobOutput {
  readonly #sinks: OutputSinks;

  constructor(sinks: OutputSinks) {
    this.#sinks = sinks;
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') this.#sinks[event.type].write(decodeData(event));
  }
}
