import assert from 'node:assert/strict';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { z } from 'zod';
import { labelsSchema } from '../../../src/domain/names.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { createApp, parseInput, queryInteger } from '../../../src/shared/http/fastify-app.ts';
import { type Logger, silentLogger } from '../../../src/shared/logger.ts';

function testApp(logger: Logger = silentLogger) {
  const app = createApp(logger, 1000);
  app.post('/echo', (request) => parseInput(z.strictObject({ n: z.number(), m: z.number() }), request.body));
  app.get('/throw/:kind', (request) => {
    const { kind } = request.params as { kind: string };
    throw kind === 'fleet' ? new FleetError('busy', 'full', { hint: 'wait' }) : new TypeError('a defect');
  });
  app.get('/number', (request) => ({ n: queryInteger(request, 'n') ?? null }));
  return app;
}

test('every refusal has the one shape, with its code and its status', async () => {
  const app = testApp();
  const json = { 'content-type': 'application/json' };
  const table: [string, object, number, string][] = [
    ['unknown route', { method: 'GET', url: '/nothing?x=1' }, 404, 'not_found'],
    ['path that cannot be decoded', { method: 'GET', url: '/throw/%zz' }, 400, 'bad_request'],
    ['body that is no JSON', { method: 'POST', url: '/echo', headers: json, payload: '{"n":' }, 400, 'bad_request'],
    ['empty body', { method: 'POST', url: '/echo', headers: json, payload: '' }, 400, 'bad_request'],
    [
      'body of another type',
      { method: 'POST', url: '/echo', headers: { 'content-type': 'image/png' }, payload: 'x' },
      400,
      'bad_request',
    ],
    ['too large', { method: 'POST', url: '/echo', headers: json, payload: `"${'x'.repeat(1000)}"` }, 413, 'too_large'],
    ['wrong fields', { method: 'POST', url: '/echo', payload: { n: 'x' } }, 400, 'bad_request'],
    ['proto', { method: 'POST', url: '/echo', headers: json, payload: '{"__proto__":{"n":1}}' }, 400, 'bad_request'],
    [
      'half a character',
      { method: 'POST', url: '/echo', headers: json, payload: '{"n":"\\ud800x"}' },
      400,
      'bad_request',
    ],
    ['an error of fleet', { method: 'GET', url: '/throw/fleet' }, 429, 'busy'],
    ['a defect', { method: 'GET', url: '/throw/other' }, 500, 'internal'],
    ['no number', { method: 'GET', url: '/number?n=-1' }, 400, 'bad_request'],
    ['too big a number', { method: 'GET', url: '/number?n=1e300' }, 400, 'bad_request'],
  ];
  for (const [name, request, status, code] of table) {
    const answer = await app.inject(request);
    assert.equal(answer.statusCode, status, name);
    const { error } = answer.json<{ error: { code: string; message: string } }>();
    assert.equal(error.code, code, name);
    assert.equal(typeof error.message, 'string');
    assert.deepEqual(Object.keys(answer.json()), ['error'], name);
  }
});

test('a refusal names every wrong field; a hint is passed on', async () => {
  const app = testApp();
  const wrong = await app.inject({ method: 'POST', url: '/echo', payload: { n: 'x', extra: 1 } });
  for (const part of ['n:', 'm:', 'extra']) assert.ok(wrong.json().error.message.includes(part), part);
  assert.equal((await app.inject({ method: 'GET', url: '/throw/fleet' })).json().error.hint, 'wait');
});

test('only a defect is logged, once', async () => {
  const logged: string[] = [];
  const app = testApp({ ...silentLogger, error: (_facts, message) => void logged.push(message) });
  await app.inject({ method: 'GET', url: '/throw/fleet' });
  assert.deepEqual(logged, []);
  await app.inject({ method: 'GET', url: '/throw/other' });
  assert.deepEqual(logged, ['request failed']);
});

test('what SQLite throws in a route is told by its kind, and damage is logged', async () => {
  const logged: string[] = [];
  const logger = { ...silentLogger, error: (_: object, message: string) => void logged.push(message) };
  const app = createApp(logger, 1000);
  app.get('/read/:code', (request) => {
    throw new Database.SqliteError('it said', (request.params as { code: string }).code);
  });
  const codeOf = async (code: string) => (await app.inject(`/read/${code}`)).json().error.code;
  assert.equal(await codeOf('SQLITE_BUSY'), 'storage_busy');
  assert.equal(await codeOf('SQLITE_IOERR_READ'), 'storage_failed');
  assert.deepEqual(logged, []);
  assert.equal(await codeOf('SQLITE_CORRUPT'), 'storage_corrupt');
  assert.equal(await codeOf('SQLITE_NOTADB'), 'storage_corrupt');
  assert.equal(await codeOf('SQLITE_ERROR'), 'internal');
  assert.equal(logged.length, 3);
});

test('a body with text that no system call could carry as it is, is refused; any other text arrives as it is', async () => {
  const app = createApp(silentLogger, 1000);
  app.post('/echo', (request) => ({ got: request.body }));
  const post = async (payload: string | Buffer) => {
    const answer = await app.inject({
      method: 'POST',
      url: '/echo',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      payload,
    });
    return { status: answer.statusCode, body: answer.json<{ got?: unknown; error?: { message: string } }>() };
  };
  const refused: [string | Buffer, RegExp][] = [
    ['{"command":"rm caf\\ud800"}', /half of a surrogate pair/],
    ['{"command":"\\uDC00"}', /half of a surrogate pair/],
    ['{"a":[{"b":"\\ude00\\ud83d"}]}', /half of a surrogate pair/],
    ['{"\\ud83d":1}', /half of a surrogate pair/],
    ['{"lane":"a\\u0000b"}', /NUL/],
    [Buffer.from('{"command":"rm caf\xe9"}', 'latin1'), /not UTF-8 \(\\xe9 at byte 19\)/],
    [Buffer.from('"\xed\xa0\x80"', 'latin1'), /not UTF-8/],
  ];
  for (const [payload, message] of refused) {
    const { status, body } = await post(payload);
    assert.equal(status, 400, String(payload));
    assert.match(body.error?.message ?? '', message);
  }
  for (const text of ['\u{1f600}', '\ufffd', 'caf\u00e9', '\\u0000', '\\ud800']) {
    assert.deepEqual((await post(JSON.stringify({ text }))).body.got, { text });
  }
  assert.deepEqual((await post('"\\ud83d\\ude00"')).body.got, '\u{1f600}');
});

test('a body that is nested too deeply to be looked through is refused, and hides no NUL', async () => {
  const app = createApp(silentLogger, 1024 * 1024);
  app.post('/loose', (request) => parseInput(z.object({ text: z.string() }), request.body));
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const payload = `{"more":${deep},"text":"a\\u0000b"}`;
  const answer = await app.inject({
    method: 'POST',
    url: '/loose',
    headers: { 'content-type': 'application/json' },
    payload,
  });
  assert.equal(answer.statusCode, 400);
});

test('a key of a record that is refused is named with what is wrong with it', () => {
  const parse = (): unknown => parseInput(z.object({ labels: labelsSchema }), { labels: { 'role\u2010x': 'db' } });
  assert.throws(parse, /U\+2010 HYPHEN at position 5: a label key has/);
});
