/** Preloaded into a real process by tests: its wall clock is wrong by TEST_SKEW_MS, and by TEST_JUMP_MS more after a SIGUSR2. */
let skewMs = Number(process.env.TEST_SKEW_MS);
const jumpMs = Number(process.env.TEST_JUMP_MS);
// The commands that the node runs are to have the right time.
for (const name of ['NODE_OPTIONS', 'TEST_SKEW_MS', 'TEST_JUMP_MS']) delete process.env[name];

const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + skewMs);
    else super(...args);
  }

  static now() {
    return RealDate.now() + skewMs;
  }
};
process.once('SIGUSR2', () => {
  skewMs += jumpMs;
});
