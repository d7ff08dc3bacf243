import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, renameSync, rmdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { LogFile, openLog } from '../../src/shared/log.ts';
import { tempFolder } from '../support/temp-folder.ts';

test('keeps one predecessor, goes on where a former process stopped, mode 0600', (t) => {
  const file = path.join(tempFolder(t), 'x.log');
  writeFileSync(file, 'old\n', { mode: 0o600 });
  const log = new LogFile(file, 8);
  for (const line of ['1234\n', '5678\n', 'abcd\n', 'efgh\n', 'last\n']) assert.ok(log.write(line));
  log.close();
  assert.equal(readFileSync(`${file}.1`, 'utf8'), '5678\nabcd\n');
  assert.equal(readFileSync(file, 'utf8'), 'efgh\nlast\n');
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a log that was moved away at its full size goes on in a new file', (t) => {
  const file = path.join(tempFolder(t), 'x.log');
  const log = new LogFile(file, 4);
  log.write('1234\n');
  renameSync(file, `${file}.moved`);
  assert.ok(log.write('next\n'));
  log.close();
  assert.equal(readFileSync(file, 'utf8'), 'next\n');
});

test('a rotation that fails loses that line, and succeeds later', (t) => {
  const file = path.join(tempFolder(t), 'x.log');
  const log = new LogFile(file, 4);
  log.write('1234\n');
  mkdirSync(`${file}.1`);
  assert.equal(log.write('lost\n'), false);
  rmdirSync(`${file}.1`);
  log.write('kept\n');
  log.close();
  assert.equal(readFileSync(file, 'utf8'), 'kept\n');
});

test('a line torn by a full disk does not swallow the next one', (t) => {
  const file = path.join(tempFolder(t), 'x.log');
  // A limit on the size of files gives the same short write as a full disk, and needs no disk: setrlimit(2), RLIMIT_FSIZE.
  const limited = 'trap "" XFSZ; ulimit -f 2; exec "$@"';
  const program = path.join(import.meta.dirname, 'torn-log-program.ts');
  execFileSync('sh', ['-c', limited, 'sh', process.execPath, program, file]);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  assert.equal(lines.at(-1), 'next');
  const torn = lines.at(-2) ?? '';
  assert.ok(torn.length > 0 && torn.length < 299, torn);
});

test('after close nothing is written into whatever file got the descriptor, and close may be repeated', (t) => {
  const folder = tempFolder(t);
  const log = new LogFile(path.join(folder, 'x.log'));
  log.close();
  const other = path.join(folder, 'database');
  const descriptor = openSync(other, 'w');
  writeSync(descriptor, 'precious');
  assert.equal(log.write('late line\n'), false);
  log.close();
  assert.equal(readFileSync(other, 'utf8'), 'precious');
  writeSync(descriptor, '.');
});

test('a warning is in the file at once, with all that was said before it; the rest when the tick is over, or at the close', async (t) => {
  const file = path.join(tempFolder(t), 'x.log');
  const { logger, close } = openLog({ file, level: 'info' });
  const messages = () =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { msg: string }).msg]));
  logger.info({}, 'one');
  logger.warn({}, 'two');
  assert.deepEqual(messages(), ['one', 'two']);
  logger.info({}, 'three');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(messages(), ['one', 'two', 'three']);
  logger.info({}, 'four');
  close();
  assert.deepEqual(messages(), ['one', 'two', 'three', 'four']);
});

test('secrets do not reach the log, the codes of errors do', (t) => {
  const file = path.join(tempFolder(t), 'x.log');
  const shown: string[] = [];
  const { logger, close } = openLog({ file, level: 'info', console: { write: (text: string) => shown.push(text) } });
  logger.debug({ n: 1 }, 'too low');
  const secret = 'pssst';
  logger
    .child({ node: 'n1' })
    .warn({ token: secret, env: { A: secret }, job: { ticket: secret }, code: 'busy' }, 'told');
  close();
  const text = readFileSync(file, 'utf8');
  assert.equal(text.includes(secret), false);
  const record = JSON.parse(text) as Record<string, unknown>;
  assert.equal(record.code, 'busy');
  assert.equal(record.level, 'warn');
  assert.equal(record.node, 'n1');
  assert.equal(shown.length, 1);
  assert.match(shown[0] ?? '', /warn {2}told node=n1 .*code=busy/);
});
