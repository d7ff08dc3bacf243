/** `--jsonl`: one object a line as things happen, text kept whole wherever the network cut it. CLI.md: "JSON that scripts rely on". */
import type { JobEvent } from '../../protocol/job-messages.ts';
import { decodeData, encodeData } from '../../protocol/text-data.ts';
import { harmlessJson } from '../../shared/strip-control.ts';
import type { ByteSink } from '../output/byte-sink.ts';
import { Utf8Carry } from '../output/utf8-carry.ts';
import type { JobOutput } from './conduct-job.ts';

type DataEvent = Extract<JobEvent, { type: 'stdout' | 'stderr' }>;

/** One stream of one run: what is held back, and the last event of it. */
interface Carried {
  carry: Utf8Carry;
  last: DataEvent;
}

/** `next` in a line is the offset for `fleet jobs logs --from`. */
export class JsonlOutput implements JobOutput {
  readonly #sink: ByteSink;
  readonly #carried = new Map<string, Carried>();

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') {
      this.#data(event);
    } else if (event.type === 'state' || event.type === 'gap' || event.type === 'exited' || event.type === 'end') {
      if (event.type === 'gap' || event.type === 'end') this.#flush(event.run);
      const { index: _index, ...line } = event;
      this.#print(line);
    }
  }

  #data(event: DataEvent): void {
    const key = `${event.run} ${event.type}`;
    const carried = this.#carried.get(key) ?? { carry: new Utf8Carry(), last: event };
    carried.last = event;
    this.#carried.set(key, carried);
    this.#printData(event, carried.carry.push(decodeData(event)));
  }

  #flush(run: string): void {
    for (const stream of ['stdout', 'stderr']) {
      const carried = this.#carried.get(`${run} ${stream}`);
      if (carried !== undefined) this.#printData(carried.last, carried.carry.flush());
      this.#carried.delete(`${run} ${stream}`);
    }
  }

  #printData({ type, run, node, next }: DataEvent, bytes: Buffer): void {
    if (bytes.length > 0) this.#print({ type, run, node, ...encodeData(bytes), next });
  }

  #print(line: object): void {
    this.#sink.write(Buffer.from(`${harmlessJson(line)}\n`));
  }
}
