import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { GatewayClient } from '../../src/client/gateway-client.ts';
import { checkAudit, readAudit, readLatestAudit, WHOLE } from '../../src/client/read-audit.ts';
import { TestGateway } from '../node/tunnel/real-gateway.ts';
import { until } from '../support/deadline.ts';
import { failure } from '../support/hostile-answers.ts';
import { HostileNode } from '../support/hostile-node.ts';

const MIB = 1024 * 1024;

/** Of a run: those of all runs together are more than one string can hold. */
const REASON_BYTES = 16 * MIB;

test('a database of an earlier version with huge reasons, commands and facts: jobs, nodes and the audit log can be read', {
  timeout: 120_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  const node = await HostileNode.join(t, gateway, 'mallory');
  node.answer = failure('forbidden', 'no', undefined, 403);
  const client = new GatewayClient({ socketPath: gateway.paths.socket });
  for (let index = 0; index < 34; index += 1) await node.submit(`echo ${index}`);
  const all = async () => (await client.jobs()).flatMap(({ runs }) => runs);
  await until(async () => (await all()).every(({ endedAt }) => endedAt !== null), 'the ends');
  await gateway.stop();

  const database = new Database(path.join(gateway.paths.folder, 'fleet.db'));
  database.prepare("UPDATE runs SET reason = 'forbidden: ' || printf('%.*c', ?, 'r')").run(REASON_BYTES);
  database.prepare("UPDATE jobs SET command = 'echo ' || printf('%.*c', ?, 'c')").run(MIB);
  const limits = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`agent-${index}`, 1]));
  database.prepare("UPDATE nodes SET facts = json_set(facts, '$.agentLimits', json(?))").run(JSON.stringify(limits));
  const insert = database.prepare('INSERT INTO audit (seq, line) VALUES (?, ?)');
  const { seq, line } = database.prepare('SELECT seq, line FROM audit ORDER BY seq DESC LIMIT 1').get() as {
    seq: number;
    line: string;
  };
  const row = JSON.parse(line) as object;
  for (let index = 1; index <= 3; index += 1) {
    const details = { reason: 'x'.repeat(20 * MIB) };
    insert.run(seq + index, JSON.stringify({ ...row, seq: seq + index, details, hash: '0'.repeat(64) }));
  }
  database.close();

  await gateway.start();
  const jobs = await client.jobs();
  assert.equal(jobs.length, 34);
  for (const { runs } of jobs) assert.ok((runs[0]?.reason ?? '').length <= 1024);
  assert.deepEqual(
    (await client.nodes()).map(({ name }) => name),
    ['mallory'],
  );
  const latest = await readLatestAudit(client, {}, 100);
  assert.ok(latest.length > 34);
  for (const shown of latest) assert.ok(shown.length <= MIB);
  let rows = 0;
  for await (const shown of readAudit(client)) rows += shown.length <= MIB ? 1 : 0;
  assert.ok(rows > seq);
  let whole = 0;
  for await (const stored of readAudit(client, WHOLE, seq)) whole += stored.length > 20 * MIB ? 1 : 0;
  assert.equal(whole, 3);
  const checked = await checkAudit(client);
  assert.equal(checked.intact, false, 'it reads all of it, and finds the rows that nobody has signed');
});
