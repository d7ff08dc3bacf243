import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTerminalStyle, plainStyle } from '../../../src/cli/output/print.ts';
import { renderFrame, renderTop, type TopFrame } from '../../../src/cli/top/render-top.ts';
import { FIRST_STATE, type TopState } from '../../../src/cli/top/top-state.ts';
import { textWidth } from '../../../src/shared/text-width.ts';
import { nodeView } from './nodes.ts';

const NOW = 1_000_000;
const FRAME: TopFrame = { columns: 100, rows: 24, now: NOW, style: plainStyle, unicode: true };
const STATE: TopState = {
  ...FIRST_STATE,
  receivedAt: NOW,
  nodes: [
    nodeView('web-1'),
    nodeView('db', { status: 'limited', reasons: ['disk / 95% (limit 90%)'], diskUsedPct: 95, runsActive: 3 }),
    nodeView('gone', { status: 'offline', cpuPct: null, rttMs: null, runsActive: null, reasons: ['no session'] }),
  ],
};

const line = (lines: string[], name: string): string => lines.find((text) => text.includes(`${name} `)) ?? '';

test('how many are how, and each node with its figures', () => {
  const lines = renderTop(STATE, FRAME);
  assert.match(lines[0] ?? '', /1 online, 1 limited, 1 offline$/);
  assert.match(lines[1] ?? '', /NAME.*STATUS▼.*CPU.*MEM.*DISK.*LOAD.*RTT.*RUNS.*WHY/);
  assert.match(line(lines, 'db'), /limited +10% +20% +95% +0\.50 +4\.2 ms +3 +disk \/ 95%/);
  assert.match(line(lines, 'gone'), /offline +- .* - +no session$/);
  assert.match(lines.at(-1) ?? '', /q quit.*\? help/);
});

test('a lost gateway is told, with the age of what is shown; it is still shown', () => {
  const lines = renderTop({ ...STATE, lost: 'no gateway is running' }, { ...FRAME, now: NOW + 42_900 });
  assert.match(lines[0] ?? '', /gateway lost.*42s ago.*no gateway is running/);
  assert.match(line(lines, 'web-1'), /online/);
});

test('data that is late tells its age; a wrong clock does not make it younger than now', () => {
  assert.match(renderTop(STATE, { ...FRAME, now: NOW + 6_000 })[0] ?? '', /6s ago/);
  assert.doesNotMatch(renderTop(STATE, { ...FRAME, now: NOW - 6_000 })[0] ?? '', /ago/);
});

test('twenty columns: name and status, and no line is longer', () => {
  const lines = renderTop(STATE, { ...FRAME, columns: 20 });
  for (const text of lines) assert.ok(textWidth(text) <= 20, text);
  assert.match(line(lines, 'web-1'), /web-1 +online/);
});

test('any size: never more lines, never wider, whatever the names are', () => {
  const name = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom('日本語のとても長い名前', 'é', ''),
  );
  const property = fc.property(
    fc.array(name, { maxLength: 8 }),
    fc.integer({ min: 1, max: 120 }),
    fc.integer({ min: 1, max: 12 }),
    fc.record({
      details: fc.boolean(),
      help: fc.boolean(),
      typing: fc.boolean(),
      filter: fc.constantFrom('', 'e'),
      lost: fc.constantFrom(undefined, 'gone'),
    }),
    (all, columns, rows, flags) => {
      const nodes = all.map((text) => nodeView(text, { reasons: [text] }));
      const lines = renderTop({ ...STATE, nodes, selected: all[0], ...flags }, { ...FRAME, columns, rows });
      assert.ok(lines.length <= rows);
      for (const text of lines) {
        assert.ok(textWidth(text) <= columns, JSON.stringify(text));
        assert.doesNotMatch(text, /\p{Cc}/u);
      }
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test('more nodes than rows: the selected one is among those that are shown, and the footer says which', () => {
  const nodes = Array.from({ length: 100 }, (_, index) => nodeView(`n${String(index).padStart(3, '0')}`));
  const state: TopState = { ...STATE, nodes, sort: 'name', selected: 'n077' };
  const lines = renderTop(state, { ...FRAME, rows: 10 });
  assert.equal(lines.length, 10);
  assert.match(line(lines, 'n077'), /^> n077/);
  assert.match(lines.at(-1) ?? '', /75-81 of 100/);
  assert.equal(renderFrame({ ...state }, FRAME).length, 102, 'on paper there is room for all');
});

test('without UTF-8 nothing but ASCII; with colour only colour is added', () => {
  const odd = { ...STATE, nodes: [nodeView('straße-日本', { reasons: ['café'] })] };
  for (const text of renderTop(odd, { ...FRAME, columns: 60, unicode: false })) assert.match(text, /^[ -~]*$/);
  const style = createTerminalStyle({ isTTY: true, env: {} });
  const painted = renderTop(STATE, { ...FRAME, style });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: SGR sequences
  const bare = painted.map((text) => text.replace(/\u001b\[\d+m/g, ''));
  assert.notDeepEqual(painted, bare);
  assert.deepEqual(bare, renderTop(STATE, FRAME));
});

test('details of the selected node, and help', () => {
  const details = renderTop({ ...STATE, selected: 'db', details: true }, FRAME).join('\n');
  assert.match(details, /db: limited, up 2h, clock 1 ms off, seen 2026-01-01T00:00:00.000Z\n +disk \/ 95%/);
  const help = renderTop({ ...STATE, help: true }, FRAME).join('\n');
  for (const word of ['sort', 'filter', 'Ctrl-C', 's status', 'u runs']) assert.ok(help.includes(word), word);
});
