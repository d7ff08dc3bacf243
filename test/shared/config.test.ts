import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import {
  addressSchema,
  durationSchema,
  durationUpTo,
  intervalSchema,
  intervalUpTo,
  parseConfigSection,
  readConfigFile,
} from '../../src/shared/config.ts';
import { tempFolder } from '../support/temp-folder.ts';

const schema = z.strictObject({
  listen: addressSchema(22).default({ host: '0.0.0.0', port: 22 }),
  pause: durationSchema.default(1000),
  every: intervalSchema.default(5000),
  inner: z.strictObject({ count: z.number().int().default(1) }).prefault({}),
});

function parse(section: unknown, flags: Record<string, unknown> = {}) {
  return parseConfigSection(schema, 'gateway', section, flags, '/home/config.yaml');
}

test('defaults, then the file, then flags; undefined flags do not count', () => {
  assert.deepEqual(parse(undefined), {
    listen: { host: '0.0.0.0', port: 22 },
    pause: 1000,
    every: 5000,
    inner: { count: 1 },
  });
  const merged = parse({ pause: '2m', listen: ':1' }, { listen: '[::1]:2', pause: undefined });
  assert.deepEqual(merged.listen, { host: '::1', port: 2 });
  assert.equal(merged.pause, 120_000);
});

test('durations have an end, and the error says which', () => {
  const upTo = z.strictObject({ grace: durationUpTo('1h').optional(), every: intervalUpTo('1h').optional() });
  const read = (section: object) => parseConfigSection(upTo, 'node', section, {}, 'file');
  assert.deepEqual(read({ grace: '1h', every: 3600 }), { grace: 3_600_000, every: 3_600_000 });
  assert.throws(() => read({ grace: '61m' }), { code: 'config_invalid', message: /node\.grace: must be at most 1h / });
  assert.throws(() => read({ every: '1h1ms' }), { message: /node\.every: must be at most 1h / });
  assert.throws(() => read({ every: 0 }), { message: /node\.every: must be longer than 0 / });
  assert.equal(read({ grace: 0 }).grace, 0);
  assert.throws(() => parse({ pause: '36501d' }), { message: /gateway\.pause: must be at most 36500d / });
  assert.equal(parse({ pause: '36500d' }).pause, 36_500 * 86_400_000);
});

test('all faults at once, each with its place and whether the file or the command line is to blame', () => {
  const wrong = { pause: 'soon', every: 0, inner: { count: 1.5, more: 1 }, colour: 'red' };
  assert.throws(
    () => parse(wrong, { listen: 'a b' }),
    (error: Error & { code: string }) => {
      assert.equal(error.code, 'config_invalid');
      for (const place of [
        'gateway.pause',
        'gateway.every',
        'gateway.inner.count',
        'gateway.inner',
        'gateway: ',
        'gateway.listen',
      ]) {
        assert.ok(error.message.includes(place), `${place} in ${error.message}`);
      }
      assert.match(error.message, /gateway\.listen: [^;]*\(in the command line\)/);
      assert.match(error.message, /gateway\.pause: [^;]*\(in \/home\/config\.yaml\)/);
      assert.match(error.message, /"colour"/);
      return true;
    },
  );
});

test('the result is frozen, all the way down', () => {
  const config = parse({});
  assert.throws(() => Object.assign(config, { pause: 1 }), TypeError);
  assert.throws(() => Object.assign(config.inner, { count: 9 }), TypeError);
});

test('a section that is no map is refused', () => {
  for (const section of ['text', 7, true, ['a']]) assert.throws(() => parse(section), { code: 'config_invalid' });
  assert.equal(parse(null).pause, 1000);
});

test('a file that is not UTF-8 is refused by its place, and not read as something else', (t) => {
  const file = path.join(tempFolder(t), 'config.yaml');
  writeFileSync(file, 'node: { shell: /opt/caf\xe9/sh }\n', 'latin1');
  assert.throws(() => readConfigFile(file, true), { code: 'config_invalid', message: /not UTF-8: \\xe9 at byte 24/ });
});

test('files: sections, and every way to be wrong', (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'config.yaml');
  const read = (text: string) => {
    writeFileSync(file, text);
    return readConfigFile(file, true);
  };
  assert.deepEqual(read('gateway:\n  pause: 1s\nnode: {}\n'), { gateway: { pause: '1s' }, node: {} });
  assert.deepEqual(read(''), {});
  assert.deepEqual(read('# nothing\n'), {});
  const wrong = {
    unclosed: 'gateway: {a: 1\n',
    duplicate: 'gateway: {}\ngateway: {}\n',
    'unknown section': 'gatway: {}\n',
    scalar: 'just text\n',
    list: '[]\n',
    'two documents': 'a: 1\n---\nb: 2\n',
    'unknown alias': 'gateway: *nothing\n',
    bomb: `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((name, index) => `${name}: &${name} [${`*${'abcdefgh'[index]},`.repeat(9)}]\n`).join('')}`,
  };
  for (const [name, text] of Object.entries(wrong)) assert.throws(() => read(text), { code: 'config_invalid' }, name);
  assert.throws(() => read('gateway:\n  listen: [1\n'), /line \d+, column \d+$/);
  assert.throws(() => read('listen 0.0.0.0\n'), /: it has no sections$/);
  assert.deepEqual(readConfigFile(path.join(folder, 'missing'), false), {});
  assert.throws(() => readConfigFile(path.join(folder, 'missing'), true), { code: 'config_invalid' });
  assert.throws(() => readConfigFile(folder, false), { code: 'config_invalid' });
});
