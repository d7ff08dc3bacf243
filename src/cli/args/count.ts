/** Whole numbers of the command line. */
import { FleetError } from '../../shared/errors.ts';

/** A whole number from 1 on. @throws FleetError `usage`; `option` names it in the message. */
export function parseCount(text: string, option: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new FleetError('usage', `${option} is not a whole number from 1 on: ${text}`);
  return Number(text);
}
