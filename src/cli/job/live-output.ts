/** The default output of a job on many nodes: every line behind the name of its node, as it comes. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { decodeData } from '../../protocol/text-data.ts';
import type { Clock } from '../../shared/clock.ts';
import type { OutputStream } from '../output/byte-sink.ts';
import { LinePrefixer, LineScreen } from '../output/line-prefixer.ts';
import type { OutputPort } from '../output-port.ts';
import type { JobOutput } from './conduct-job.ts';

export interface LiveOutputOptions {
  ports: Record<OutputStream, OutputPort>;
  /** -N: lines without the name. */
  unlabeled: boolean;
  clock: Clock;
}

export class LiveOutput implements JobOutput {
  readonly #options: LiveOutputOptions;
  readonly #screens: Record<OutputStream, LineScreen>;
  /** Of the runs that still write. */
  readonly #prefixers = new Map<string, LinePrefixer>();

  constructor(options: LiveOutputOptions) {
    this.#options = options;
    const { stdout, stderr } = options.ports;
    const screen = new LineScreen();
    const isShared = stdout.isTerminal && stderr.isTerminal;
    this.#screens = { stdout: screen, stderr: isShared ? screen : new LineScreen() };
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') {
      this.#prefixerOf(event.run, event.node, event.type).write(decodeData(event));
    } else if (event.type === 'gap' || event.type === 'end') {
      // What stands on the two sides of a gap must not look like one line.
      this.#end(event.run);
      if (event.type === 'gap') this.#makeRoom();
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
    const { ports, unlabeled, clock } = this.#options;
    const { style } = ports[stream];
    const paint = stream === 'stderr' ? style.red : style.cyan;
    const label = unlabeled ? undefined : node;
    const created = new LinePrefixer({ label, paint, sink: ports[stream], screen: this.#screens[stream], clock });
    this.#prefixers.set(key, created);
    return created;
  }

  /** A note about the gap follows on stderr: it must not stand behind an unfinished line. */
  #makeRoom(): void {
    if (this.#screens.stderr.open !== undefined) this.#options.ports.stderr.write('\n');
    this.#screens.stderr.open = undefined;
  }

  #end(run: string): void {
    for (const stream of ['stdout', 'stderr']) {
      const key = `${run} ${stream}`;
      this.#prefixers.get(key)?.end();
      this.#prefixers.delete(key);
    }
  }
}
