/** Which machine a folder of a home belongs to: a home that was copied, or is on a shared disk, must not make two machines the same node. */
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync } from 'node:fs';
import os from 'node:os';
import { FleetError } from './errors.ts';
import { readPrivateFile } from './private-file.ts';
import { readOrEmpty } from './read-file.ts';
import { writePrivateFile } from './write-file.ts';

/** systemd makes an id at each boot where /etc cannot be written (machine-id(5)); it says nothing about the machine. */
const TRANSIENT_MACHINE_ID = '/run/machine-id';

/**
 * Hash of this machine's id, the same in every fleet; undefined where there is none, as in most containers. The id itself is confidential
 * (machine-id(5)) and goes nowhere.
 */
export function hashedMachineId(): string | undefined {
  const id = process.platform === 'darwin' ? readMacId() : readLinuxId();
  return id && createHmac('sha256', id).update('fleet machine id').digest('hex').slice(0, 32);
}

function readLinuxId(): string | undefined {
  if (existsSync(TRANSIENT_MACHINE_ID)) return undefined;
  // In an image it may be `uninitialized`, or empty.
  const ids = ['/etc/machine-id', '/var/lib/dbus/machine-id'].map((file) => readOrEmpty(file).trim());
  return ids.find((id) => /^[0-9a-f]{32}$/.test(id) && !/^0+$/.test(id));
}

function readMacId(): string | undefined {
  try {
    const args = ['-rd1', '-c', 'IOPlatformExpertDevice'];
    const text = execFileSync('/usr/sbin/ioreg', args, { encoding: 'utf8', timeout: 5_000 });
    return /"IOPlatformUUID" = "([^"]+)"/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

/** The other machine that the file names; undefined when it is this one, or cannot be determined. @throws FleetError as {@link readPrivateFile}. */
export function otherMachine(file: string, machineId: string | undefined): string | undefined {
  const text = readPrivateFile(file);
  if (text === undefined || machineId === undefined) return undefined;
  // No match for `-`, or for what a full disk has left.
  const [, known, hostname] = /^([0-9a-f]{32}) (\S*)/.exec(text) ?? [];
  return known === undefined || known === machineId ? undefined : hostname || 'another one';
}

interface ClaimOptions {
  /** Its first word is the hash of the machine's id, or `-`; its second the hostname, for people. */
  file: string;
  /** Such as `the node web-1`. */
  what: string;
  /** Take it over from another machine. */
  adopt: boolean;
  /** What to do instead of adopting it. */
  instead: string;
}

/**
 * Records that the folder with `file` belongs to this machine. Does not object where either has no id.
 * @throws FleetError `home_foreign` when it belongs to another machine.
 */
export function claimForMachine(
  { file, what, adopt, instead }: ClaimOptions,
  { machineId, hostname }: { machineId?: string | undefined; hostname: string } = {
    machineId: hashedMachineId(),
    hostname: os.hostname(),
  },
): void {
  const other = otherMachine(file, machineId);
  if (other !== undefined && !adopt) {
    throw new FleetError('home_foreign', `${what} belongs to the machine ${other}, and this is ${hostname}`, {
      hint: `If it has moved here for good, add --adopt-home. ${instead}`,
    });
  }
  const text = `${machineId ?? '-'} ${hostname}\n`;
  const present = readPrivateFile(file);
  // A machine that has lost its id must not erase what was known.
  if (present === undefined || (machineId !== undefined && present !== text)) writePrivateFile(file, text);
}
