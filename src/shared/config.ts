/** config.yaml: read once, checked as a whole, all faults told at once, then frozen. */
import { readFileSync } from 'node:fs';
import { type Document, parseDocument } from 'yaml';
import { z } from 'zod';
import { parseAddress, parseDialAddress } from './address.ts';
import { parseDuration } from './duration.ts';
import { FleetError, systemErrorCode, toFleetError } from './errors.ts';
import { describeBadByte, trimPasted } from './text.ts';

/** Sections that a config file may have. */
export const CONFIG_SECTIONS = ['gateway', 'node'] as const;

export type ConfigFile = Partial<Record<(typeof CONFIG_SECTIONS)[number], unknown>>;

/** The longest duration of all: a time that is so far from now still is a date. */
const LONGEST = '36500d';

/** `30s`, `5m`, …, or a number of seconds; ms once parsed. At most {@link LONGEST}. */
export const durationSchema = durationUpTo(LONGEST);

/** A {@link durationSchema} of something that happens again and again, so never 0. */
export const intervalSchema = intervalUpTo(LONGEST);

/**
 * A duration of at most `most`, written as in the file. What a library gives to a timer must be less than 24 days: timers of Node that are
 * given more fire at once (nodejs.org/api/timers.html).
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

/** A {@link durationUpTo} that is longer than 0. */
export function intervalUpTo(most: string) {
  return durationUpTo(most).refine((ms) => ms > 0, 'must be longer than 0');
}

/** A bare number is no string in YAML. */
const addressTextSchema = z.union([z.string(), z.number().transform(String)], 'must be host, host:port or :port');

/** An address to listen on: `host`, `host:port`, `[v6]:port` or `:port`. */
export function addressSchema(defaultPort: number) {
  return addressTextSchema.transform((text, context) => checked(context, () => parseAddress(text, defaultPort)));
}

/** An address that other machines dial: `host`, `host:port` or `[v6]:port`. */
export function dialAddressSchema(defaultPort: number) {
  return addressTextSchema.transform((text, context) => checked(context, () => parseDialAddress(text, defaultPort)));
}

/** As it was written, for who knows the default port only later. */
export const dialAddressTextSchema = addressTextSchema.transform((text, context) =>
  checked(context, () => {
    parseDialAddress(text, 1);
    return trimPasted(text);
  }),
);

function checked<T>(context: z.RefinementCtx, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { message, hint = '' } = toFleetError(error);
    context.addIssue({ code: 'custom', message: `${message}. ${hint}`.trimEnd() });
    return z.NEVER;
  }
}

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
  if (fault !== undefined)
    throw new FleetError(
      'config_invalid',
      `${file} is not valid YAML: ${fault.message.split('\n')[0]?.replace(/:$/, '')}`,
      {
        cause: fault,
      },
    );
  const value = toPlain(document, file);
  const isMap = typeof value === 'object' && !Array.isArray(value);
  const foreign = isMap ? Object.keys(value).filter((key) => !CONFIG_SECTIONS.includes(key as 'node')) : [];
  if (!isMap || foreign.length > 0) {
    const what = isMap ? `unknown section ${foreign.join(', ')}` : 'there are no sections in it';
    throw new FleetError('config_invalid', `${file}: ${what}`, {
      hint: `The sections are ${CONFIG_SECTIONS.join(' and ')}; see config.example.yaml.`,
    });
  }
  return value;
}

/** Aliases are resolved only here, so some faults show only now. */
function toPlain(document: Document.Parsed, file: string): Record<string, unknown> {
  try {
    return (document.toJS() ?? {}) as Record<string, unknown>;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new FleetError('config_invalid', `${file} is not valid YAML: ${why}`, { cause: error });
  }
}

/** One section with `flags` laid over it, checked. Undefined flags do not count. @throws FleetError `config_invalid`. */
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
  throw new FleetError('config_invalid', `the configuration is wrong: ${faults.join('; ')}`, {
    hint: 'config.example.yaml shows every option.',
  });
}

function deepFreeze<T>(value: T): Readonly<T> {
  if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
