import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ControlApi } from '../../../src/node/api/control-api.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { requestJson } from '../../../src/shared/http/request.ts';
import { until } from '../../support/deadline.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

test('status, reconnect, shutdown; private; in place of a socket that a killed process left behind', async (t) => {
  const socketPath = path.join(tempFolder(t), 'node.sock');
  writeFileSync(socketPath, '');
  const calls: string[] = [];
  const control = new ControlApi({
    socket: socketPath,
    status: () => ({ name: 'web' }) as never,
    shutdown: () => void calls.push('shutdown'),
    leave: async () => {
      if (calls.length === 0) throw new FleetError('gateway_unreachable', 'no tunnel');
      calls.push('leave');
    },
    reconnect: () => void calls.push('reconnect'),
    rotateKey: () => Promise.reject(new FleetError('conflict', 'not now')),
  });
  await control.start();
  cleanUp(t, () => control.close());
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  assert.deepEqual(await requestJson({ socketPath, method: 'GET', path: '/v1/status' }), { name: 'web' });
  await assert.rejects(requestJson({ socketPath, method: 'POST', path: '/v1/leave' }), { code: 'gateway_unreachable' });
  await requestJson({ socketPath, method: 'POST', path: '/v1/reconnect' });
  assert.deepEqual(calls, ['reconnect']);
  await assert.rejects(requestJson({ socketPath, method: 'POST', path: '/v1/rotate-key' }), { code: 'conflict' });
  await assert.rejects(requestJson({ socketPath, method: 'GET', path: '/v1/shutdown' }), { code: 'not_found' });
  assert.deepEqual(await requestJson({ socketPath, method: 'POST', path: '/v1/shutdown' }), { pid: process.pid });
  await until(() => calls.includes('shutdown'), 'the shutdown');
  assert.deepEqual(await requestJson({ socketPath, method: 'POST', path: '/v1/leave' }), { pid: process.pid });
  await until(() => calls.length === 4, 'the shutdown after the leave');
  assert.deepEqual(calls, ['reconnect', 'shutdown', 'leave', 'shutdown']);
  await control.close();
  await assert.rejects(requestJson({ socketPath, method: 'GET', path: '/v1/status' }), { code: 'connection_lost' });
});

test('a place where no socket can be is told', async (t) => {
  const options = {
    status: () => ({}) as never,
    shutdown: () => {},
    leave: async () => {},
    reconnect: () => {},
    rotateKey: () => Promise.reject(new Error('not here')),
  };
  const socket = path.join(tempFolder(t), 'missing', 'node.sock');
  await assert.rejects(new ControlApi({ ...options, socket }).start(), { code: 'config_invalid' });
});
