/** Amounts of output, each stream for itself. */

export interface StreamBytes {
  stdoutBytes: number;
  stderrBytes: number;
}

export function add(a: StreamBytes, b: StreamBytes): StreamBytes {
  return { stdoutBytes: a.stdoutBytes + b.stdoutBytes, stderrBytes: a.stderrBytes + b.stderrBytes };
}

export function subtract(a: StreamBytes, b: StreamBytes): StreamBytes {
  return { stdoutBytes: a.stdoutBytes - b.stdoutBytes, stderrBytes: a.stderrBytes - b.stderrBytes };
}

/** Of both streams. */
export function total({ stdoutBytes, stderrBytes }: StreamBytes): number {
  return stdoutBytes + stderrBytes;
}
