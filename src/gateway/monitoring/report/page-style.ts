/** The style sheet of the health report's page: light or dark like the reader's system, and fit to print. */

export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --ink: #1c2128; --soft: #57606a; --rule: #d8dee4; --track: #e6eaef;
  --online: #1a7f37; --limited: #8a5a00; --error: #b34700; --offline: #c21f2c;
  --online-tint: #e3f4e7; --limited-tint: #fbf0d3; --error-tint: #fdeadd; --offline-tint: #fde7e8;
  --up: #7cc492; --cpu: #2563c9; --mem: #8a3ffc; --disk: #0f8077;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #0e1116; --card: #171b22; --ink: #e6e9ee; --soft: #9aa4b1; --rule: #2c333d; --track: #2a313b;
    --online: #57c274; --limited: #e0b341; --error: #f59354; --offline: #ff7b82;
    --online-tint: #14301d; --limited-tint: #352a0c; --error-tint: #3a2214; --offline-tint: #3d181c;
    --up: #2f7a46; --cpu: #6ea8fe; --mem: #c29bff; --disk: #4fc7bb;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 36px 0 12px; }
h3 { font-size: 16px; overflow-wrap: anywhere; }
h3, p, dd, figure { margin: 0; }
.soft { color: var(--soft); }
.top { display: flex; flex-wrap: wrap; gap: 12px 24px; align-items: center; justify-content: space-between; }
.pill { display: inline-flex; align-items: center; gap: 6px; padding: 1px 9px; border-radius: 99px; font-size: 13px; font-weight: 600; white-space: nowrap; color: var(--status); background: var(--tint); }
.pill.large { font-size: 16px; padding: 5px 16px; }
.pill svg { width: 9px; height: 9px; flex: none; }
.pill path { fill: currentColor; }
.online { --status: var(--online); --tint: var(--online-tint); }
.limited { --status: var(--limited); --tint: var(--limited-tint); }
.error { --status: var(--error); --tint: var(--error-tint); }
.offline { --status: var(--offline); --tint: var(--offline-tint); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(168px, 1fr)); gap: 12px; margin: 24px 0 0; }
.tile, .card, .sheet { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; }
.tile { padding: 14px 18px; display: flex; flex-direction: column; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile .figure { font-size: 28px; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.cards { display: grid; gap: 12px; }
.others { margin: 14px 0 0; padding: 0; list-style: none; columns: 2 420px; column-gap: 28px; font-size: 13.5px; }
.others li { padding: 3px 0; break-inside: avoid; overflow-wrap: anywhere; }
.card { padding: 16px 20px 18px; border-left: 4px solid var(--status); break-inside: avoid; }
.card header { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: center; margin-bottom: 10px; }
.card .body { display: grid; grid-template-columns: minmax(240px, 5fr) 7fr; gap: 12px 28px; }
.card ul { margin: 0; padding-left: 18px; overflow-wrap: anywhere; }
.axis { display: flex; justify-content: space-between; font-size: 12px; color: var(--soft); margin-top: 4px; padding-left: 40px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 12.5px; color: var(--soft); margin-bottom: 6px; }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
.legend svg { width: 22px; height: 8px; }
svg { display: block; overflow: visible; }
svg path { fill: none; vector-effect: non-scaling-stroke; }
.plot { display: grid; grid-template-columns: auto 1fr; gap: 8px; }
.levels { display: flex; flex-direction: column; justify-content: space-between; text-align: right; font-size: 11px; line-height: 1; color: var(--soft); width: 32px; }
.under { margin-top: 8px; padding-left: 40px; }
.chart { width: 100%; height: 120px; }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart .away { fill: var(--offline-tint); }
.line { stroke: var(--cpu); stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
.line.mem { stroke: var(--mem); stroke-dasharray: 7 4; }
.line.disk { stroke: var(--disk); stroke-dasharray: 2 4; }
.strip { width: 100%; height: 16px; background: var(--track); border-radius: 3px; overflow: hidden; }
.strip .up { fill: var(--up); }
.strip .down { fill: var(--offline); }
.sheet { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 12px 16px 8px; color: var(--soft); font-size: 13px; }
th { text-align: left; font-weight: 600; }
thead th { color: var(--soft); font-size: 12.5px; border-bottom: 1px solid var(--rule); white-space: nowrap; vertical-align: bottom; }
th, td { padding: 8px 10px; vertical-align: middle; }
th:first-child, td:first-child { padding-left: 16px; }
th:last-child, td:last-child { padding-right: 16px; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tbody th { min-width: 120px; max-width: 200px; overflow-wrap: anywhere; }
.number, .nodes th:nth-last-child(-n + 2) { text-align: right; white-space: nowrap; }
thead small { display: block; font-weight: 400; font-size: 11.5px; }
.cell { display: grid; grid-template-rows: 22px auto; gap: 3px; align-items: end; min-width: 96px; }
.cell small { color: var(--soft); font-size: 12px; white-space: nowrap; }
.cell .strip, .cell .bar { align-self: center; }
.cell .strip { height: 12px; }
.spark { width: 100%; height: 22px; }
.spark .line { stroke-width: 1.3; }
.spark .area { fill: var(--cpu); opacity: 0.13; }
td.mem { --cpu: var(--mem); }
td.rtt { --cpu: var(--disk); }
.bar { width: 100%; height: 8px; }
.bar .track { fill: var(--track); }
.bar .fill { fill: var(--disk); }
.bar.high .fill { fill: var(--limited); }
.bar .mark { stroke: var(--soft); stroke-width: 1; }
.bad { color: var(--offline); font-weight: 600; }
footer { margin-top: 28px; font-size: 13px; color: var(--soft); }
@media (max-width: 720px) { .card .body { grid-template-columns: 1fr; } main { padding: 20px 14px 32px; } }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  :root { --page: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444444; }
  body { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { zoom: 0.7; max-width: none; padding: 0; }
  h2 { margin: 20px 0 8px; break-after: avoid; }
  .card, .tile { padding: 8px 14px; }
  .chart { height: 84px; }
  th, td { padding: 3px 10px; }
  .sheet { overflow: visible; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
}
`;
