/** Joins fields so that no two lists of fields look alike: what is signed or keyed is built by this. */

/** Each field with its length in front, 4 bytes, big-endian. */
export function lengthPrefixed(fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      return [length, field];
    }),
  );
}
