/** Where the writers of this folder put bytes: a stream in the CLI, an array in tests. */

export interface ByteSink {
  write(bytes: Uint8Array): void;
}

/** stdout and stderr of the CLI. */
export interface OutputSinks {
  stdout: ByteSink;
  stderr: ByteSink;
}

/** Which of a command's two outputs. */
export type OutputStream = keyof OutputSinks;
