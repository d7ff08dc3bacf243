/** Silences: for a while, nobody is told of a rule, of a node, or of one alert. What happens is still recorded and shown. */
import type { SilenceView } from '../../protocol/alert-views.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { findNode } from '../api/find.ts';
import type { AlertRow } from '../store/alerts-table.ts';
import type { SilenceRow } from '../store/silences-table.ts';
import type { Store } from '../store/store.ts';
import type { AlertSettings } from './alert-settings.ts';

const ID_LENGTH = 8;
/** Shortest beginning of an alert's id that stands for it. */
const LEAST_PREFIX = 4;

export interface NewSilence {
  what: string;
  forMs: number;
  reason: string | undefined;
  by: string;
}

export interface SilencesOptions {
  store: Store;
  clock: Clock;
  randomBytes: (size: number) => Uint8Array;
  settings(): Pick<AlertSettings, 'rules'>;
}

export class Silences {
  readonly #options: SilencesOptions;

  constructor(options: SilencesOptions) {
    this.#options = options;
  }

  /** Takes the place of an earlier one of the same. @throws FleetError `not_found`, `ambiguous`. */
  async add({ what, forMs, reason, by }: NewSilence): Promise<SilenceView> {
    const { store, clock, randomBytes } = this.#options;
    const createdAt = clock.now();
    const row: SilenceRow = {
      ...this.#targetOf(what),
      id: randomBase32(ID_LENGTH, randomBytes),
      until: createdAt + forMs,
      reason: reason ?? null,
      createdBy: by,
      createdAt,
    };
    await store.write(() => {
      store.silences.prune(createdAt);
      store.silences.put(row);
    });
    return silenceView(row);
  }

  /** Ends those of that rule, node or alert, or the one with that id. @throws FleetError `not_found`. */
  async remove(what: string): Promise<SilenceView[]> {
    const { store } = this.#options;
    const isMeant = (row: SilenceRow): boolean =>
      row.id === what ||
      row.label === what ||
      row.target === what ||
      (row.kind === 'alert' && what.length >= LEAST_PREFIX && row.target.startsWith(what));
    const meant = this.active().filter(isMeant);
    if (meant.length === 0) {
      throw new FleetError('not_found', `nothing called ${what} is silenced`, {
        hint: 'See what is: fleet alerts silences',
      });
    }
    await store.write(() => {
      for (const { id } of meant) store.silences.remove(id);
    });
    return meant.map(silenceView);
  }

  active(): SilenceRow[] {
    return this.#options.store.silences.active(this.#options.clock.now());
  }

  #targetOf(what: string): Pick<SilenceRow, 'kind' | 'target' | 'label'> {
    const { store, settings } = this.#options;
    const ruleNames = settings().rules.map(({ name }) => name);
    const [alert, another] = what.length < LEAST_PREFIX ? [] : store.alerts.byPrefix(what);
    const isRule = ruleNames.includes(what);
    const node = store.nodes.byName(what);
    if (isRule && node !== undefined) {
      throw new FleetError('ambiguous', `${what} is a rule and a node`, { hint: `Write the node's id: ${node.id}` });
    }
    if (isRule) return { kind: 'rule', target: what, label: what };
    if (node !== undefined) return { kind: 'node', target: node.id, label: node.name };
    if (alert !== undefined && another !== undefined && alert.id !== what) {
      throw new FleetError('ambiguous', `${what} fits more than one alert: ${alert.id}, ${another.id}`, {
        hint: 'Write more of it.',
      });
    }
    if (alert !== undefined) return { kind: 'alert', target: alert.id, label: alert.id };
    try {
      const { id, name } = findNode(store, what);
      return { kind: 'node', target: id, label: name };
    } catch (error) {
      if (!(error instanceof FleetError) || error.code !== 'not_found') throw error;
      throw new FleetError('not_found', `there is no rule, node or alert called ${what}`, {
        hint: `The rules: ${ruleNames.join(', ') || 'none'}. The alerts: fleet alerts`,
        cause: error,
      });
    }
  }
}

/** Until when nobody is told of the alert, ms; null when somebody is. */
export function silencedUntil(
  silences: readonly SilenceRow[],
  { id, rule, nodeId }: Pick<AlertRow, 'id' | 'rule' | 'nodeId'>,
): number | null {
  const targets = { rule, node: nodeId, alert: id };
  const ends = silences.filter(({ kind, target }) => targets[kind] === target).map(({ until }) => until);
  return ends.length === 0 ? null : Math.max(...ends);
}

export function silenceView({ id, kind, label, until, reason, createdBy }: SilenceRow): SilenceView {
  return { id, kind, what: label, until: new Date(until).toISOString(), reason, by: createdBy };
}
