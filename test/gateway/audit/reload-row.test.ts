import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditRow } from '../../../src/domain/audit.ts';
import { resolveGatewayConfig } from '../../../src/gateway/config.ts';
import { TestGateway } from '../../node/tunnel/real-gateway.ts';

const SECRET = 'https://example.org/very-secret';

test('the row of a reload names the changed options, but no values, however it was requested', async (t) => {
  let section: object = {};
  const readConfig = () => resolveGatewayConfig(section, { listen: '127.0.0.1:0' }, 'test');
  const gateway = await new TestGateway(t).start({ readConfig });
  section = { alerts: { notify: [{ name: 'hook', kind: 'webhook', url: SECRET }] }, retention: '1d' };
  await gateway.api('POST', '/v1/gateway/reload');
  section = { retention: '2d', alerts: { groupWait: '1s' } };
  await gateway.reload();
  const { lines } = await gateway.api<{ lines: string[] }>('GET', '/v1/audit?action=gateway.reload');
  const rows = lines.map((line) => JSON.parse(line) as AuditRow);
  assert.deepEqual(
    rows.map(({ actor, outcome, details }) => [actor.name, outcome, details]),
    [
      ['local', 'ok', { changed: ['alerts.notify'], restartNeeded: ['retention'] }],
      ['gateway', 'ok', { changed: ['alerts.notify', 'alerts.groupWait'], restartNeeded: ['retention'] }],
    ],
  );
  assert.ok(!lines.join('').includes('very-secret'));
});
