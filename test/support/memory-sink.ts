/** A sink that keeps what was written, for tests of the CLI's writers. */
import type { ByteSink } from '../../src/cli/output/print.ts';

export class MemorySink implements ByteSink {
  readonly writes: Buffer[] = [];

  write(bytes: Uint8Array): void {
    this.writes.push(Buffer.from(bytes));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.writes);
  }

  get text(): string {
    return this.bytes.toString('utf8');
  }
}
