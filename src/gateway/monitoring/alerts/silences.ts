/** Silences: for a while, nobody is told of a rule, of a node, or of one alert. What happens is still recorded and shown. */
import type { SilenceView } from '../../../protocol/alert-views.ts';
import { randomBase32 } from '../../../shared/base32.ts';
import type { Clock } from '../../../shared/clock.ts';
import { FleetError } from '../../../shared/errors.ts';
import { didYouMean } from '../../api/find.ts';
import { lookUp } from '../../store/look-up.ts';
import type { AlertSettings } from './alert-settings.ts';
import type { AlertRow, AlertsStore } from './alerts-table.ts';
import type { SilenceRow } from './silences-table.ts';

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
  store: AlertsStore;
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

  /** Ends the one with that id, or that of a rule, node or alert. @throws FleetError `not_found`, `ambiguous`. */
  async remove(what: string): Promise<SilenceView[]> {
    const { store } = this.#options;
    const nodes = new Set(lookUp(store.nodes, what).map(({ id }) => id));
    // A label is what the node was called then: by now another one may have that name.
    const isMeant = ({ id, kind, target, label }: SilenceRow): boolean => {
      if (id === what || target === what) return true;
      if (kind === 'node') return nodes.has(target) || (label === what && store.nodes.byId(target) === undefined);
      return kind === 'alert' && what.length >= LEAST_PREFIX && target.startsWith(what);
    };
    const [meant, ...others] = this.active().filter(isMeant);
    if (meant === undefined) {
      throw new FleetError('not_found', `nothing called ${what} is silenced`, {
        hint: 'See what is: fleet alerts silences',
      });
    }
    if (others.length > 0) {
      const known = [meant, ...others].map(({ id, kind, label }) => `${kind} ${label} (${id})`);
      throw new FleetError('ambiguous', `${what} fits more than one silence: ${known.slice(0, 5).join(', ')}`, {
        hint: `Use the id of the silence: fleet alerts unsilence ${meant.id}`,
      });
    }
    await store.write(() => store.silences.remove(meant.id));
    return [silenceView(meant)];
  }

  active(): SilenceRow[] {
    return this.#options.store.silences.active(this.#options.clock.now());
  }

  #targetOf(what: string): Pick<SilenceRow, 'kind' | 'target' | 'label'> {
    const { store, settings } = this.#options;
    const ruleNames = settings().rules.map(({ name }) => name);
    const rules = ruleNames
      .filter((name) => name === what)
      .map((target) => ({ kind: 'rule', target, label: target }) as const);
    const alerts = what.length < LEAST_PREFIX ? [] : store.alerts.byPrefix(what);
    const meant = [
      ...rules,
      ...lookUp(store.nodes, what).map(({ id, name }) => ({ kind: 'node', target: id, label: name }) as const),
      ...alerts
        .filter(({ id }) => id === what || alerts.every((alert) => alert.id !== what))
        .map(({ id }) => ({ kind: 'alert', target: id, label: id }) as const),
    ];
    const [target, ...others] = meant;
    if (target === undefined) {
      const names = [...ruleNames, ...store.nodes.names()];
      throw new FleetError('not_found', `there is no rule, node or alert called ${what}`, {
        hint: `${didYouMean(what, names)}The rules: ${ruleNames.join(', ') || 'none'}. The alerts: fleet alerts`,
      });
    }
    if (others.length > 0) {
      const known = meant.map((one) => `${one.kind} ${one.label}${one.kind === 'node' ? ` (${one.target})` : ''}`);
      throw new FleetError('ambiguous', `${what} fits more than one: ${known.slice(0, 5).join(', ')}`, {
        hint: 'Write the whole id of the one that is meant.',
      });
    }
    return target;
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
