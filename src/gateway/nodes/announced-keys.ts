/** Which signing keys the node of one session has been told, and which of them it has surely stored: what to sign its tickets with. */
export class ToldKeys {
  #told: readonly string[] = [];
  #stored: readonly string[] = [];

  /** To be put into an answer to the node: undefined when it knows all that. */
  tell(accepted: readonly string[]): string[] | undefined {
    if (accepted.length === this.#told.length && accepted.every((key, index) => key === this.#told[index]))
      return undefined;
    this.#told = accepted;
    return [...accepted];
  }

  /** The node has spoken again, and does so only after it has stored the answer of before. */
  heard(): void {
    this.#stored = this.#told;
  }

  /** The newest key that the node surely knows, raw and base64url; undefined before its first heartbeat. */
  get newest(): string | undefined {
    return this.#stored[0];
  }
}
