import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { csvCell, joinPieces } from '../../../../src/gateway/monitoring/report/formats.ts';
import { harmlessJson, stripControl } from '../../../../src/shared/text.ts';
import { hostileReport } from './hostile-names.ts';
import { buildReport, FROM, render, sampleInput, TO } from './report-fixture.ts';

/** A reader of RFC 4180, written without a look at the writer. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let at = 0;
  while (at < text.length) {
    let cell = '';
    if (text[at] === '"') {
      at += 1;
      for (;;) {
        if (at >= text.length) throw new Error('a quote is not closed');
        if (text[at] === '"' && text[at + 1] === '"') {
          cell += '"';
          at += 2;
        } else if (text[at] === '"') {
          at += 1;
          break;
        } else {
          cell += text[at];
          at += 1;
        }
      }
    } else {
      while (at < text.length && text[at] !== ',' && text[at] !== '\r') {
        if (text[at] === '"' || text[at] === '\n') throw new Error('a special character is not quoted');
        cell += text[at];
        at += 1;
      }
    }
    row.push(cell);
    if (text[at] === ',') {
      at += 1;
    } else {
      if (text.slice(at, at + 2) !== '\r\n') throw new Error('a row does not end in CRLF');
      at += 2;
      rows.push(row);
      row = [];
    }
  }
  return rows;
}

test('reads back as one row a node with the figures of the report', () => {
  const report = buildReport(sampleInput());
  const [head, ...rows] = parseCsv(render(report, 'csv'));
  assert.ok(head !== undefined);
  assert.equal(rows.length, report.nodes.length);
  rows.forEach((row, index) => {
    const node = report.nodes[index];
    assert.ok(node !== undefined);
    assert.equal(row.length, head.length);
    const cell = (name: string) => row[head.indexOf(name)];
    assert.equal(cell('node'), node.name);
    assert.equal(cell('status'), node.status);
    assert.ok(Math.abs(Number(cell('uptime_pct')) - (node.uptimePct ?? 0)) < 0.001);
    assert.ok(Math.abs(Number(cell('rtt_ms_p95')) - (node.rttMs?.p95 ?? 0)) < 0.001);
    assert.equal(Number(cell('outages')), node.outages);
    assert.equal(Number(cell('incidents')), node.incidents.length);
    assert.equal(cell('disk_full_at'), node.forecasts[0]?.fullAt ?? '');
    assert.equal(Number(cell('runs_failed')), node.runs.failed);
  });
});

test('no cell of hostile text starts a formula, and none is lost', () => {
  const report = hostileReport();
  const [head, ...rows] = parseCsv(render(report, 'csv'));
  assert.ok(head !== undefined);
  assert.deepEqual(
    rows.map((row) => row[0]?.replace(/^'(?=\s*[=+@-]|\ufffd)/, '')),
    report.nodes.map(({ name }) => stripControl(name)),
  );
  for (const row of rows) for (const cell of row) assert.doesNotMatch(cell, /^\s*[=+\-@]|^[\t\r]/);
});

test('numbers stay numbers, unknown is empty', () => {
  assert.equal(csvCell(-1.23456), '-1.235');
  assert.equal(csvCell(null), '');
  assert.equal(csvCell(0), '0');
});

test('any text comes back, without control characters, and with an apostrophe where it would be a formula', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const [[cell] = []] = parseCsv(`${csvCell(text)}\r\n`);
      assert.ok(cell === stripControl(text) || cell === `'${stripControl(text)}`);
      assert.doesNotMatch(cell ?? '', /^[=+\-@\t\r\n]/);
    }),
  );
});

test('the pieces together are the JSON of the report, for no node, one and many, whatever they are called', () => {
  const input = sampleInput();
  const reports = [
    buildReport({ from: FROM, to: TO, rows: [] }),
    buildReport({ ...input, rows: input.rows.slice(0, 1) }),
    buildReport(input),
    hostileReport(),
  ];
  for (const report of reports) {
    assert.equal(render(report, 'json'), `${harmlessJson(report, 2)}\n`);
  }
});

test('others get their turns while a long document is put together', async () => {
  const made: number[] = [];
  function* pieces() {
    for (let index = 0; index < 200; index += 1) {
      made.push(index);
      yield `${index},`;
    }
  }
  let madeAtTurn = 0;
  const other = setImmediate().then(() => {
    madeAtTurn = made.length;
  });
  const text = await joinPieces(pieces());
  await other;
  assert.equal(text, Array.from({ length: 200 }, (_, index) => `${index},`).join(''));
  assert.ok(madeAtTurn > 0 && madeAtTurn < 200, `${madeAtTurn} of 200 pieces were made in one turn`);
});
