import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import {
  ERROR_CODES,
  type ErrorCode,
  FleetError,
  httpStatusOf,
  isNobodyListening,
  systemErrorCode,
  toFleetError,
} from '../../src/shared/errors.ts';

test('JSON of an error is its code, its message and its hint, and nothing else', () => {
  const bare = new FleetError('busy', 'full', { facts: { secret: 1 }, cause: new Error('inner') });
  assert.equal(JSON.stringify(bare), '{"code":"busy","message":"full"}');
  const hinted = new FleetError('busy', 'full', { hint: 'wait' });
  assert.equal(JSON.stringify(hinted), '{"code":"busy","message":"full","hint":"wait"}');
});

test('anything thrown becomes a FleetError, its own kind unchanged', () => {
  const own = new FleetError('timeout', 'late');
  assert.equal(toFleetError(own), own);
  for (const thrown of [new TypeError('x'), 'text', undefined, null, 7]) {
    const error = toFleetError(thrown);
    assert.equal(error.code, 'internal');
    assert.equal(error.cause, thrown);
  }
  assert.equal(systemErrorCode({ code: 'ENOENT' }), 'ENOENT');
  for (const thrown of [null, undefined, 'ENOENT', { code: 5 }, {}]) assert.equal(systemErrorCode(thrown), undefined);
});

test('whether nobody listens on a Unix socket: no file, a file that is left, or an end while we came', async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'fleet-errors-'));
  context.after(() => rm(folder, { recursive: true }));
  const socketPath = path.join(folder, 'a.sock');
  const failure = async (socket: Socket): Promise<unknown> => {
    const [error] = (await once(socket, 'error', { signal: AbortSignal.timeout(5_000) })) as [unknown];
    return error;
  };
  const absent = await failure(createConnection(socketPath));

  const server = createServer().listen(socketPath);
  await once(server, 'listening');
  // The kernel has queued us already when the listener goes, as it goes when its process is killed.
  const queued = createConnection(socketPath);
  server.close();
  const ended = await failure(queued);

  // Its process is killed, so the file stays.
  const code = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', code, socketPath]), 'exit');
  const left = await failure(createConnection(socketPath));

  const asFile = path.join(folder, 'file');
  await writeFile(asFile, '');
  const below = await failure(createConnection(path.join(asFile, 'b.sock')));
  assert.deepEqual(
    [absent, ended, left, below].map((error) => [systemErrorCode(error), isNobodyListening(error)]),
    [
      ['ENOENT', true],
      ['ECONNRESET', true],
      ['ECONNREFUSED', true],
      ['ENOTDIR', false],
    ],
  );
  assert.equal(isNobodyListening(Object.assign(new Error('read'), { code: 'ECONNRESET', syscall: 'read' })), false);
});

test('what a service manager must not repeat is never retryable', () => {
  const permanent: ErrorCode[] = [
    'key_revoked',
    'invite_invalid',
    'not_paired',
    'pairing_rejected',
    'host_key_changed',
    'gateway_not_proven',
    'wrong_gateway',
    'protocol_unsupported',
    'config_invalid',
    'home_insecure',
    'name_taken',
  ];
  for (const code of permanent) assert.equal(new FleetError(code, '').retryable, false, code);
});

test('every code has an HTTP status of an error, and what passes by itself is not told as a defect', () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    assert.ok(httpStatusOf(code) >= 400 && httpStatusOf(code) < 600, code);
  }
  for (const code of ['node_offline', 'connection_lost', 'channel_open_failed', 'not_running'] as const) {
    assert.equal(httpStatusOf(code), 503, code);
  }
});
