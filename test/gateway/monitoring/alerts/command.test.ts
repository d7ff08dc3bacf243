import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { type AlertNotice, combineNotices } from '../../../../src/gateway/monitoring/alerts/message.ts';
import { runAlertCommand } from '../../../../src/gateway/monitoring/alerts/send.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { until, within } from '../../../support/deadline.ts';
import { isAlive } from '../../../support/fleet-processes.ts';
import { tempFolder } from '../../../support/temp-folder.ts';
import { FIRING, noticeOf } from './message-fixture.ts';

const LONG_MS = 60_000;

function run(command: string[], more: { timeoutMs?: number; signal?: AbortSignal; message?: typeof FIRING } = {}) {
  const { message = FIRING, timeoutMs = LONG_MS, ...rest } = more;
  const options = {
    clock: systemClock,
    signal: new AbortController().signal,
    env: { PATH: process.env.PATH },
    ...rest,
  };
  return within(runAlertCommand({ command, timeoutMs }, 'msg_1', message, options), 'the command', 20_000);
}

test('a command gets the message as JSON on stdin and in variables, and no other environment', async (t) => {
  const folder = tempFolder(t);
  const attempt = await run(['sh', '-c', 'cat > "$1/in"; env > "$1/env"', 'x', folder]);
  assert.deepEqual(attempt, { kind: 'delivered' });
  assert.deepEqual(JSON.parse(readFileSync(path.join(folder, 'in'), 'utf8')), FIRING);
  const env = readFileSync(path.join(folder, 'env'), 'utf8');
  assert.match(env, /^FLEET_ALERT_ID=msg_1$/m);
  assert.match(env, /^FLEET_ALERT_EVENT=firing$/m);
  assert.match(env, /^FLEET_ALERT_TITLE=CRITICAL disk on node-1$/m);
  assert.match(env, /^FLEET_ALERT_TEXT=disk \/a <b> & \*c\* @everyone 95%$/m);
  assert.doesNotMatch(env, /^HOME=/m);
});

test('for several alerts a command gets their number, the nodes, and a text of several lines', async (t) => {
  const folder = tempFolder(t);
  const notices = ['a', 'b', 'c'].map((node) => noticeOf(node, { summary: node === 'c' ? 'full\n' : 'gone' }));
  const message = combineNotices(notices as [AlertNotice, ...AlertNotice[]], 3);
  await run(
    [
      'sh',
      '-c',
      'printf "%s|%s|%s" "$FLEET_ALERT_COUNT" "$FLEET_ALERT_NODES" "$FLEET_ALERT_TEXT" > "$1/text"',
      'x',
      folder,
    ],
    {
      message,
    },
  );
  assert.equal(readFileSync(path.join(folder, 'text'), 'utf8'), '3|a b c|a,b: gone\nc: full\ufffd');
});

test('the name of a disk never becomes a command or a broken variable', async (t) => {
  const folder = tempFolder(t);
  const summary = `$(touch ${folder}/a); \`touch ${folder}/b\` '; touch ${folder}/c; \n\0"`;
  const message = { ...FIRING, data: { ...FIRING.data, summary } };
  assert.deepEqual(await run(['sh', '-c', `printf %s "$FLEET_ALERT_TEXT" > ${folder}/text`], { message }), {
    kind: 'delivered',
  });
  assert.equal(
    readFileSync(path.join(folder, 'text'), 'utf8'),
    summary.replace('\n', '\ufffd').replace('\0', '\ufffd'),
  );
});

test('a command that fails, is killed, or does not exist is retried, with the reason', async () => {
  assert.deepEqual(await run(['sh', '-c', 'echo no mail server >&2; exit 3']), {
    kind: 'failed',
    error: 'exit code 3',
    detail: 'no mail server',
  });
  assert.deepEqual(await run(['sh', '-c', 'kill -TERM $$']), { kind: 'failed', error: 'killed by SIGTERM' });
  assert.deepEqual(await run(['/no/such/program']), { kind: 'failed', error: 'cannot be started: ENOENT' });
});

test('a command that takes too long is killed with everything that it started, also when the gateway stops', async (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'pid');
  const slow = ['sh', '-c', `sleep 1000 & echo $! > ${file}; wait`];
  const read = (): string => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return '';
    }
  };
  const controller = new AbortController();
  const stopped = run(slow, { signal: controller.signal });
  await until(() => read().endsWith('\n'), 'the grandchild', 20_000);
  controller.abort();
  assert.deepEqual(await stopped, { kind: 'failed', error: 'the gateway stopped' });
  await until(() => !isAlive(Number(read())), 'the end of the grandchild', 20_000);
  assert.deepEqual(await run(['sleep', '1000'], { timeoutMs: 20 }), {
    kind: 'failed',
    error: 'it took longer than 20 ms',
  });
});

test('a command that reads nothing or leaves a process behind counts as delivered', async () => {
  assert.deepEqual(await run(['true']), { kind: 'delivered' });
  assert.deepEqual(await run(['sh', '-c', 'sleep 2 & exit 0']), { kind: 'delivered' });
});
