/** config.yaml: read once, validated as a whole with all faults reported at once, then frozen. */
import { readFileSync } from 'node:fs';
import { type Document, parseDocument } from 'yaml';
import { z } from 'zod';
import { parseAddress, parseDialAddress } from './address.ts';
import { parseDuration } from './duration.ts';
import { FleetError, systemErrorCode, toFleetError } from './errors.ts';
import { describeBadByte, trimPasted } from './text.ts';

const CONFIG_SECTIONS = ['gateway', 'node'] as const;

type ConfigFile = Partial<Record<(typeof CONFIG_SECTIONS)[number], unknown>>;

/** A time this far from now is still a valid date. */
const LONGEST = '36500d';

/** `30s`, `5m`, …, or a number of seconds; ms once parsed. */
export const durationSchema = durationUpTo(LONGEST);

/** A {@link durationSchema} greater than 0. */
export const intervalSchema = intervalUpTo(LONGEST);

/**
 * A duration of at most `most`, written as in the file. One that a library passes to a timer must stay below 24 days: Node's timers fire at
 * once when given more (nodejs.org/api/timers.html).
 */
export function durationUpTo(most: string) {
  const mostMs = parseDuration(most);
  return z
    .union([z.string(), z.number()])
    .transform((value, context) => {
      try {
        return parseDuration(String(value));
      } catch {
        context.addIssue({ code: 'custom', message: `not a duration such as 30s, 5m or 7d: ${JSON.stringify(value)}` });
        return z.NEVER;
      }
    })
    .refine((ms) => ms <= mostMs, `must be at most ${most}`);
}

/** A {@link durationUpTo} greater than 0. */
export function intervalUpTo(most: string) {
  return durationUpTo(most).refine((ms) => ms > 0, 'must be longer than 0');
}

/** Text that `parse` accepts, as what it returns. In YAML a bare port is a number. */
function addressLike<T>(parse: (text: string) => T) {
  const text = z.union([z.string(), z.number().transform(String)], 'must be host, host:port or :port');
  return text.transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      const { message, hint = '' } = toFleetError(error);
      context.addIssue({ code: 'custom', message: `${message}. ${hint}`.trimEnd() });
      return z.NEVER;
    }
  });
}

/** An address to listen on: `host`, `host:port`, `[v6]:port` or `:port`. */
export function addressSchema(defaultPort: number) {
  return addressLike((text) => parseAddress(text, defaultPort));
}

/** An address that other machines dial: `host`, `host:port` or `[v6]:port`. */
export function dialAddressSchema(defaultPort: number) {
  return addressLike((text) => parseDialAddress(text, defaultPort));
}

/** A {@link dialAddressSchema} as written, because its default port is not known yet. */
export const dialAddressTextSchema = addressLike((text) => {
  parseDialAddress(text, 1);
  return trimPasted(text);
});

/** The file's sections. A missing file is empty unless `required`. @throws FleetError `config_invalid` with line and column. */
export function readConfigFile(file: string, required: boolean): ConfigFile {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' && !required) return {};
    throw new FleetError('config_invalid', `cannot read the config file ${file}: ${systemErrorCode(error) ?? error}`, {
      cause: error,
    });
  }
  const badByte = describeBadByte(bytes);
  if (badByte !== undefined) throw new FleetError('config_invalid', `${file} is not UTF-8: ${badByte}`);
  const document = parseDocument(bytes.toString('utf8'));
  const [fault] = document.errors;
  if (fault !== undefined) throw notYaml(file, fault, fault.message.split('\n')[0]?.replace(/:$/, ''));
  const value = toPlain(document, file);
  const isMap = typeof value === 'object' && !Array.isArray(value);
  const foreign = isMap ? Object.keys(value).filter((key) => !CONFIG_SECTIONS.includes(key as 'node')) : [];
  if (isMap && foreign.length === 0) return value;
  const what = isMap ? `unknown section ${foreign.join(', ')}` : 'it has no sections';
  throw new FleetError('config_invalid', `${file}: ${what}`, {
    hint: `The sections are ${CONFIG_SECTIONS.join(' and ')}; see config.example.yaml.`,
  });
}

/** Resolves aliases, which reveals some faults only here. */
function toPlain(document: Document.Parsed, file: string): Record<string, unknown> {
  try {
    return (document.toJS() ?? {}) as Record<string, unknown>;
  } catch (error) {
    throw notYaml(file, error, error instanceof Error ? error.message : String(error));
  }
}

function notYaml(file: string, cause: unknown, why = ''): FleetError {
  return new FleetError('config_invalid', `${file} is not valid YAML: ${why}`, { cause });
}

/** One section overridden by `flags`, validated; undefined flags do not count. @throws FleetError `config_invalid`. */
export function parseConfigSection<S extends z.ZodType>(
  schema: S,
  name: string,
  section: unknown,
  flags: Record<string, unknown>,
  file: string,
): Readonly<z.output<S>> {
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  if (section !== undefined && section !== null && typeof section !== 'object') {
    throw new FleetError('config_invalid', `${file}: ${name} is not a map`);
  }
  const parsed = schema.safeParse({ ...section, ...given });
  if (parsed.success) return deepFreeze(parsed.data);
  const faults = parsed.error.issues.map((issue) => {
    const where = [name, ...issue.path].join('.');
    const source = issue.path[0] !== undefined && String(issue.path[0]) in given ? 'the command line' : file;
    return `${where}: ${issue.message} (in ${source})`;
  });
  throw new FleetError('config_invalid', `invalid configuration: ${faults.join('; ')}`, {
    hint: 'config.example.yaml shows every option.',
  });
}

function deepFreeze<T>(value: T): Readonly<T> {
  if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
