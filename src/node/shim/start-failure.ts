/** Why a command cannot be started: a stable word, a colon, and prose. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
}
