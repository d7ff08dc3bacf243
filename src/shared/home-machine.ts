/** Which machine's a folder of a home is: a home that was copied, or lies on a shared disk, must not make two machines the same node. */
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { FleetError } from './errors.ts';
import { readPrivateFile } from './private-file.ts';
import { writePrivateFile } from './write-file.ts';

/** An id of systemd that is made at each boot, because /etc cannot be written (machine-id(5)): it says nothing about the machine. */
const TRANSIENT_MACHINE_ID = '/run/machine-id';
/** IOPlatformUUID is the id of a Mac. */
const IOREG = ['/usr/sbin/ioreg', '-rd1', '-c', 'IOPlatformExpertDevice'] as const;

/**
 * Hash of this machine's id; undefined where there is none, as in most containers. The id itself is confidential and goes nowhere
 * (machine-id(5)); its hash is the same in every fleet of this machine, and no other's.
 */
export function hashedMachineId(): string | undefined {
  const id = process.platform === 'darwin' ? readMacId() : readLinuxId();
  return id && createHmac('sha256', id).update('fleet machine id').digest('hex').slice(0, 32);
}

function readLinuxId(): string | undefined {
  if (existsSync(TRANSIENT_MACHINE_ID)) return undefined;
  for (const file of ['/etc/machine-id', '/var/lib/dbus/machine-id']) {
    try {
      // An image may hold `uninitialized`, or nothing.
      const [id] = /^[0-9a-f]{32}$/.exec(readFileSync(file, 'utf8').trim()) ?? [];
      if (id !== undefined && !/^0+$/.test(id)) return id;
    } catch {
      // Not every system has one.
    }
  }
  return undefined;
}

function readMacId(): string | undefined {
  try {
    const [file, ...args] = IOREG;
    return /"IOPlatformUUID" = "([^"]+)"/.exec(execFileSync(file, args, { encoding: 'utf8', timeout: 5_000 }))?.[1];
  } catch {
    return undefined;
  }
}

interface Machine {
  machineId?: string | undefined;
  hostname: string;
}

/** The other machine that the file names; undefined when it is this one, or nobody can tell. @throws FleetError as {@link readPrivateFile}. */
export function otherMachine(file: string, machineId: string | undefined): string | undefined {
  const text = readPrivateFile(file);
  if (text === undefined || machineId === undefined) return undefined;
  // Such as `-`, or what a full disk has left.
  const [, known, hostname] = /^([0-9a-f]{32}) (\S*)/.exec(text) ?? [];
  return known === undefined || known === machineId ? undefined : hostname || 'another one';
}

export interface ClaimOptions {
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
 * Notes that the folder with `file` is this machine's. Where one of the two has no id, it is let pass.
 * @throws FleetError `home_foreign` when it is another machine's.
 */
export function claimForMachine(
  { file, what, adopt, instead }: ClaimOptions,
  machine: Machine = { machineId: hashedMachineId(), hostname: os.hostname() },
): void {
  const { machineId, hostname } = machine;
  const other = otherMachine(file, machineId);
  if (other !== undefined && !adopt) {
    throw new FleetError('home_foreign', `${what} belongs to the machine ${other}, and this is ${hostname}`, {
      hint: `If it has moved here for good, add --adopt-home. ${instead}`,
    });
  }
  const text = `${machineId ?? '-'} ${hostname}\n`;
  const present = readPrivateFile(file);
  // A machine that has lost its id does not take away what was known.
  if (present === undefined || (machineId !== undefined && present !== text)) writePrivateFile(file, text);
}
