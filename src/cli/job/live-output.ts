/** The default output of a job on many nodes: every line behind the name of its node, as it comes. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { decodeData } from '../../protocol/text-data.ts';
import type { OutputStream } from '../output/byte-sink.ts';
import { LinePrefixer } from '../output/line-prefixer.ts';
import type { OutputPort } from '../output-port.ts';
import type { JobOutput } from './conduct-job.ts';

export interface LiveOutputOptions {
  ports: Record<OutputStream, OutputPort>;
  /** -N: lines without the name. */
  unlabeled: boolean;
}

export class LiveOutput implements JobOutput {
  readonly #options: LiveOutputOptions;
  /** Of the runs that still write. */
  readonly #prefixers = new Map<string, LinePrefixer>();

  constructor(options: LiveOutputOptions) {
    this.#options = options;
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') {
      this.#prefixerOf(event.run, event.node, event.type).write(decodeData(event));
    } else if (event.type === 'gap' || event.type === 'end') {
      // What stands on the two sides of a gap must not look like one line.
      this.#end(event.run);
    }
  }

  /** Writes the unfinished lines of runs that go on elsewhere. */
  close(): void {
    for (const prefixer of this.#prefixers.values()) prefixer.end();
    this.#prefixers.clear();
  }

  #prefixerOf(run: string, node: string, stream: OutputStream): LinePrefixer {
    const key = `${run} ${stream}`;
    const present = this.#prefixers.get(key);
    if (present !== undefined) return present;
    const { ports, unlabeled } = this.#options;
    const { style } = ports[stream];
    const paint = stream === 'stderr' ? style.red : style.cyan;
    const created = new LinePrefixer({ label: unlabeled ? undefined : node, paint, sink: ports[stream] });
    this.#prefixers.set(key, created);
    return created;
  }

  #end(run: string): void {
    for (const stream of ['stdout', 'stderr']) {
      const key = `${run} ${stream}`;
      this.#prefixers.get(key)?.end();
      this.#prefixers.delete(key);
    }
  }
}
