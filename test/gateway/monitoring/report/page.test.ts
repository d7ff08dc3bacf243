import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import { html, trusted } from '../../../../src/gateway/monitoring/report/html.ts';
import { hostileReport } from './hostile-names.ts';
import { buildReport, FROM, render, sampleInput, TO } from './report-fixture.ts';

const VOID_TAGS = new Set(['meta', '!doctype']);

interface Tag {
  name: string;
  attributes: Map<string, string>;
}

/** All opening tags, once every tag is closed in order and every attribute is quoted. */
function tagsOf(page: string): Tag[] {
  const open: string[] = [];
  const tags: Tag[] = [];
  const withoutStyle = page.replace(/<style>[^<]*<\/style>/, '');
  let end = 0;
  for (const match of withoutStyle.matchAll(/<(\/?)([!a-z][a-z0-9]*)((?:\s+[a-zA-Z-]+(?:="[^"<>]*")?)*)\s*(\/?)>/g)) {
    const [whole, closing, name = '', attributeText = '', selfClosing] = match;
    assert.doesNotMatch(withoutStyle.slice(end, match.index), /[<>]/, 'a stray angle bracket');
    end = match.index + whole.length;
    if (closing === '/') {
      assert.equal(open.pop(), name);
      continue;
    }
    const attributes = [...attributeText.matchAll(/([a-zA-Z-]+)="([^"]*)"/g)];
    tags.push({ name, attributes: new Map(attributes.map(([, key = '', value = '']) => [key, value])) });
    if (selfClosing !== '/' && !VOID_TAGS.has(name)) open.push(name);
  }
  assert.deepEqual(open, []);
  return tags;
}

test('is well formed, and made of nothing but its own tags, whatever the nodes are called', () => {
  const input = sampleInput();
  const many = { ...input, rows: input.rows.map((row) => ({ ...row, status: 'limited' as const, reasons: ['full'] })) };
  const usual = new Set(
    [input, many].flatMap((each) => tagsOf(render(buildReport(each), 'html')).map(({ name }) => name)),
  );
  const hostile = tagsOf(render(hostileReport(), 'html'));
  for (const { name, attributes } of hostile) {
    assert.ok(usual.has(name), name);
    assert.ok(![...attributes.keys()].some((key) => key.startsWith('on')));
  }
  assert.ok(!usual.has('script') && !usual.has('img') && !usual.has('link'));
});

test('the page loads nothing from elsewhere', () => {
  for (const report of [buildReport(sampleInput()), hostileReport()]) {
    const page = render(report, 'html');
    for (const { attributes } of tagsOf(page)) {
      for (const key of ['src', 'href', 'xlink:href', 'action', 'srcset']) assert.ok(!attributes.has(key));
    }
    assert.doesNotMatch(page.slice(page.indexOf('<style>'), page.indexOf('</style>')), /url\(|@import/);
    assert.match(page, /Content-Security-Policy" content="default-src 'none'/);
  }
});

test('hostile names appear as text', () => {
  const page = render(hostileReport(), 'html');
  assert.ok(page.includes('&#60;script&#62;alert(1)&#60;/script&#62;'));
  assert.ok(page.includes('&#39; onmouseover=&#39;alert(1)'));
  assert.ok(page.includes('&#38;lt;'));
  assert.ok(!page.includes('\u001b') && !page.includes('\u202e'));
});

test('every picture is described in words, and the table has headers', () => {
  const report = buildReport(sampleInput());
  const tags = tagsOf(render(report, 'html'));
  for (const { name, attributes } of tags) {
    if (name !== 'svg') continue;
    const named = attributes.get('role') === 'img' && (attributes.get('aria-label') ?? '') !== '';
    assert.ok(named || attributes.get('aria-hidden') === 'true');
  }
  assert.equal(
    tags.filter(({ name, attributes }) => name === 'th' && attributes.get('scope') === 'row').length,
    12 + 2,
  );
  assert.equal(tags.filter(({ name }) => name === 'caption').length, 2);
  assert.equal(tags.filter(({ name }) => name === 'article').length, 2);
  assert.equal(tags.find(({ name }) => name === 'html')?.attributes.get('lang'), 'en');
});

test('draws the real series: every number in a path is finite and inside the picture', () => {
  const page = render(buildReport(sampleInput()), 'html');
  assert.doesNotMatch(page, /NaN|Infinity|undefined|\bnull\b|\[object/);
  const paths = tagsOf(page).filter(
    ({ name, attributes }) => name === 'path' && attributes.get('class') === 'line cpu',
  );
  const drawn = paths.map(({ attributes }) => attributes.get('d') ?? '').filter((d) => !d.includes('H'));
  assert.equal(drawn.length, 2);
  for (const d of drawn) {
    for (const [, x, y] of d.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)) {
      assert.ok(Number(x) >= 0 && Number(x) <= 6_400 && Number(y) >= 0 && Number(y) <= 1_200, d);
    }
  }
  // The laptop was away in between, so its line has two parts.
  assert.deepEqual(
    drawn.map((d) => d.split('M').length - 1),
    [2, 1],
  );
});

test('a limit that is off has no mark', () => {
  const limits = { cpuPct: 95, memUsedPct: 90, diskUsedPct: Number.POSITIVE_INFINITY };
  const report = buildReport({ ...sampleInput(), limits });
  assert.equal(report.limits.diskUsedPct, null);
  const page = render(report, 'html');
  assert.doesNotMatch(page, /Infinity|class="mark"/);
});

test('serves light, dark and paper', () => {
  const page = render(buildReport(sampleInput()), 'html');
  assert.match(page, /prefers-color-scheme: dark/);
  assert.match(page, /@media print/);
});

test('a fleet without nodes has a page as well', () => {
  const page = render(buildReport({ from: FROM, to: TO, rows: [], limits: DEFAULT_HEALTH_THRESHOLDS }), 'html');
  assert.ok(tagsOf(page).length > 10);
  assert.match(page, /No node is paired yet/);
});

test('a template escapes all but markup', () => {
  assert.equal(
    String(html`<b title="${'"<&>\''}">${['<', html`<i>${1}</i>`, null]}</b>`),
    '<b title="&#34;&#60;&#38;&#62;&#39;">&#60;<i>1</i></b>',
  );
  assert.equal(String(html`${trusted('<hr>')}`), '<hr>');
});
