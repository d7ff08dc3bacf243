/** Health checks say "unknown" where other commands say that the fleet failed. */
import { toFleetError } from '../../shared/errors.ts';
import type { CliContext } from '../context/context.ts';
import { EXIT_FLEET_FAILED, exitCodeOfError } from '../output/exit-code.ts';
import { printError } from '../output/print.ts';
import { EXIT_HEALTH_UNKNOWN } from './health-exit-code.ts';

/** What `check` gives; 3, and the error told, when health could not be found out. @throws what is the caller's own mistake. */
export async function unknownWithoutGateway(context: CliContext, check: () => Promise<number>): Promise<number> {
  try {
    return await check();
  } catch (error) {
    const failure = toFleetError(error);
    const isUnknown = failure.code === 'storage_corrupt' || exitCodeOfError(failure.code) === EXIT_FLEET_FAILED;
    if (failure.code === 'storage_failed' || !isUnknown) throw failure;
    printError(failure, { out: context.out, err: context.err, json: context.json, debug: false });
    return EXIT_HEALTH_UNKNOWN;
  }
}
