/** Lines of the Prometheus text format for tables of gauges: OpenMetrics 1.0.0 and text 0.0.4 write these alike. */

export interface GaugeFamily<T> {
  name: string;
  help: string;
  /** Any number of samples of one thing; null for a figure that is not known, which then has no line. */
  samples(thing: T): readonly Sample[] | number | null;
}

/** Further labels, ready to be written, and the value. */
export type Sample = readonly [labels: string, value: number];

/** One thing of a table, with its own labels as {@link formatLabels} writes them. */
export interface LabelledThing<T> {
  labels: string;
  thing: T;
}

/** `# HELP`, `# TYPE` and the samples of all things. */
export function writeGauges<T>(family: GaugeFamily<T>, things: readonly LabelledThing<T>[]): string {
  let text = `# HELP ${family.name} ${escapeHelp(family.help)}\n# TYPE ${family.name} gauge\n`;
  for (const { labels, thing } of things) {
    const samples = family.samples(thing);
    if (samples === null) continue;
    if (typeof samples === 'number') text += `${family.name}{${labels}} ${samples}\n`;
    else for (const [more, value] of samples) text += `${family.name}{${labels},${more}} ${value}\n`;
  }
  return text;
}

/** `node="a",mount="/"`. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(',');
}

function escapeLabel(value: string): string {
  // Half a surrogate pair is no UTF-8, and one such mount point would cost all metrics.
  return value.toWellFormed().replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}

function escapeHelp(help: string): string {
  return help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
}
