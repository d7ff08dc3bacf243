/** A marker in every place that takes a secret, and then everything that a viewer can read: no marker may be in it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { type GatewayConfig, resolveGatewayConfig } from '../../../src/gateway/config.ts';
import type { JobView } from '../../../src/protocol/job-messages.ts';
import type { ScheduleView } from '../../../src/protocol/schedule.ts';
import type { GatewayView } from '../../../src/protocol/views.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { openRequest, requestJson } from '../../../src/shared/http/request.ts';
import { type TestGateway, TestMachine } from '../../node/tunnel/real-gateway.ts';
import { TestPerson } from '../../support/person.ts';
import { type Route, startWithRoutes } from './route-list.ts';

const MARKER = 'm4rk3r-of-a-secret';
const ENV = { NAME_1: MARKER, OTHER: `x ${MARKER} y` };

const RECEIVERS = [
  { name: 'web-hook', kind: 'webhook', url: `http://127.0.0.1:1/${MARKER}`, secret: `${MARKER}-0123456789` },
  { name: 'chat', kind: 'slack', url: `http://127.0.0.1:1/services/${MARKER}` },
  { name: 'talk', kind: 'discord', url: `http://user:${MARKER}@127.0.0.1:1/` },
  { name: 'push', kind: 'ntfy', url: `http://127.0.0.1:1/${MARKER}`, token: MARKER },
  // A command that fails often prints what it was about to do, with its secrets.
  { name: 'program', kind: 'command', command: ['sh', '-c', `echo "curl -H 'token: ${MARKER}'" >&2; exit 22`] },
];

/** Queries by route; one that is not here is asked without any. */
const QUERIES: Record<string, readonly string[]> = {
  '/v1/health': ['', 'node=web'],
  '/v1/health/report': ['text', 'json', 'md', 'html', 'csv'].map((format) => `format=${format}`),
  '/v1/jobs': ['', 'node=web', 'limit=1000'],
  '/v1/alerts': ['', 'active=true'],
  '/v1/nodes': ['', 'selector=@all'],
};

interface Planted {
  gateway: TestGateway;
  routes: Route[];
  jobs: string[];
  schedules: string[];
  /** Markers, and what the gateway made itself. */
  secrets: string[];
}

async function plant(t: TestContext): Promise<Planted> {
  const section = { alerts: { notify: RECEIVERS, groupWait: 0 } };
  let broken = false;
  const readConfig = (): GatewayConfig => {
    if (broken) throw new FleetError('config_invalid', `config.yaml is not valid YAML: Unresolved alias: ${MARKER}`);
    return resolveGatewayConfig(section, {}, 'test');
  };
  const { gateway, routes } = await startWithRoutes(t, { section, readConfig });
  await new TestMachine(t).open(gateway.port, { code: await gateway.invite() });
  const codes = [await gateway.invite(), await gateway.invite({ ttlMs: 30 * 86_400_000, uses: 5 })];

  const how = { env: ENV, expiresMs: 3_600_000, idempotencyKey: MARKER };
  const requests = [
    { kind: 'shell', command: 'true', target: { node: 'web' } },
    { kind: 'shell', command: 'true', target: { selector: '@all' }, flow: { fanout: 1 } },
    { kind: 'agent', agent: 'coder', command: 'look', target: { node: 'web' } },
    { kind: 'shell', command: 'cat', target: { node: 'web' }, stdin: true },
  ];
  const jobs: string[] = [];
  for (const [index, request] of requests.entries()) {
    const body = { ...request, ...how, idempotencyKey: `${MARKER}-${index}` };
    jobs.push((await gateway.api<JobView>('POST', '/v1/jobs', body)).job);
  }
  const [job = '', , , cat = ''] = jobs;
  await gateway.api('POST', `/v1/jobs/${job}/cancel`);
  const stdin = requestJson({
    socketPath: gateway.paths.socket,
    method: 'POST',
    path: `/v1/jobs/${cat}/stdin`,
    headers: { 'content-type': 'application/octet-stream' },
    stream: Readable.from([`${MARKER}\n`]),
  });
  stdin.catch(() => undefined);

  const schedules: string[] = [];
  const { idempotencyKey: _key, ...scheduled } = how;
  for (const { stdin: _stdin, ...request } of requests as (object & { stdin?: boolean })[]) {
    const action = { kind: 'job', request: { ...request, ...scheduled } };
    const { name } = await gateway.api<ScheduleView>('POST', '/v1/schedules', { cron: '0 7 * * *', action });
    schedules.push(name);
    await gateway.api('POST', `/v1/schedules/${name}/run`);
  }
  await gateway.api('POST', '/v1/alerts/test', {});
  broken = true;
  await assert.rejects(gateway.api('POST', '/v1/gateway/reload'), { code: 'config_invalid' });

  const files = [gateway.paths.apiToken, gateway.paths.hostKey, gateway.paths.signingKey];
  const own = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => /^[^-].{19}/.test(line)),
  );
  // Of a code everything but its first group, which is its name.
  const parts = codes.flatMap((code) => [code, code.slice(5), code.replaceAll('-', '').slice(4)]);
  return { gateway, routes, jobs, schedules, secrets: [MARKER, ...own, ...parts] };
}

function pathsOf({ url }: Route, { jobs, schedules }: Planted): string[] {
  const names: Record<string, readonly string[]> = { ':node': ['web'], ':job': jobs, ':schedule': schedules };
  const [parameter = ''] = /:\w+/.exec(url) ?? [];
  const paths =
    parameter === '' ? [url] : (names[parameter] ?? ['missing']).map((name) => url.replace(parameter, name));
  return paths.flatMap((path) => (QUERIES[url] ?? ['']).map((query) => (query === '' ? path : `${path}?${query}`)));
}

test('no secret is in anything that a viewer can read: routes, streams, reports, metrics', {
  timeout: 120_000,
}, async (t) => {
  const planted = await plant(t);
  const { gateway, routes, secrets } = planted;
  const person = new TestPerson(t);
  await person.login(gateway.port, await gateway.invite({ role: 'viewer', name: 'vic' }));
  const route = await person.transport(gateway.port).route();
  const clean = (what: string, said: string): void => {
    for (const secret of secrets) assert.ok(!said.includes(secret), `${what} tells ${secret}: ${said}`);
  };
  let read = 0;
  const look = async (path: string, headers: Record<string, string> = {}): Promise<void> => {
    const send = { ...route, method: 'GET' as const, path, headers: { ...route.headers, ...headers } };
    const said = await openRequest(send).then(
      async (answer) => `${JSON.stringify(answer.headers)} ${await text(answer)}`,
      (error: FleetError) => JSON.stringify(error),
    );
    clean(`GET ${path}`, said);
    read += 1;
  };
  for (const one of routes.filter(({ method }) => method === 'GET')) {
    for (const path of pathsOf(one, planted)) await look(path);
  }
  await look('/metrics', { accept: 'application/openmetrics-text' });
  assert.ok(read > 30, `${read} answers`);
  // Everything is on record when the streams are read: all that has not ended is canceled, so that they end.
  for (const { job } of (await gateway.api<{ jobs: JobView[] }>('GET', '/v1/jobs')).jobs) {
    await gateway.api('POST', `/v1/jobs/${job}/cancel`);
    const stream = await openRequest({ ...route, method: 'POST', path: `/v1/jobs/${job}/follow`, body: {} });
    clean(`the stream of ${job}`, await text(stream));
  }
  // Nor, of what is no command, in the log of what was done, which only an admin reads.
  const { lines } = await gateway.api<{ lines: string[] }>('GET', '/v1/audit');
  const rows = lines
    .map((line) => JSON.parse(line))
    .map(({ details: { idempotencyKey: _key, ...details } }) => details);
  clean('the audit log', JSON.stringify(rows));
});

test('a schedule names its variables; whoever adds one is told no more than anybody else', {
  timeout: 60_000,
}, async (t) => {
  const { gateway, schedules } = await plant(t);
  for (const name of schedules) {
    const { action } = await gateway.api<ScheduleView>('GET', `/v1/schedules/${name}`);
    assert.deepEqual(action.kind === 'job' && action.request.env, ['NAME_1', 'OTHER'], name);
  }
  const action = { kind: 'job', request: { kind: 'shell', command: 'x', target: { node: 'web' }, env: ENV } };
  const added = await gateway.api<ScheduleView>('POST', '/v1/schedules', { cron: '@daily', action });
  assert.ok(!JSON.stringify(added).includes(MARKER));
});

test('why the configuration cannot be read is for an admin; others see that it cannot', {
  timeout: 60_000,
}, async (t) => {
  const { gateway } = await plant(t);
  const person = new TestPerson(t);
  await person.login(gateway.port, await gateway.invite({ role: 'operator', name: 'olga' }));
  const view = await person.client(gateway.port).gateway();
  assert.ok(view.config.fault !== null && !view.config.fault.includes(MARKER));
  assert.match((await gateway.api<GatewayView>('GET', '/v1/gateway')).config.fault ?? '', new RegExp(MARKER));
});
