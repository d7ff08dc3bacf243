/** Silences: for a while, alerts of a rule or a node, or one alert, notify nobody. They are still recorded and shown. */
import { randomBytes } from 'node:crypto';
import type { SilenceView } from '../../../protocol/alerts.ts';
import { randomBase32 } from '../../../shared/base32.ts';
import type { Clock } from '../../../shared/clock.ts';
import { isoTime } from '../../../shared/duration.ts';
import { FleetError } from '../../../shared/errors.ts';
import { didYouMean, lookUp } from '../../store/look-up.ts';
import type { AlertSettings } from './config.ts';
import type { AlertRow, AlertsStore, SilenceRow } from './tables.ts';

const ID_LENGTH = 8;
/** Shortest prefix of an alert's id. */
const MIN_PREFIX = 4;

export class Silences {
  readonly #options: { store: AlertsStore; clock: Clock; settings(): Pick<AlertSettings, 'rules'> };

  constructor(options: { store: AlertsStore; clock: Clock; settings(): Pick<AlertSettings, 'rules'> }) {
    this.#options = options;
  }

  /** Replaces an earlier silence of the same target. @throws FleetError `not_found`, `ambiguous`. */
  async add(what: string, forMs: number, reason: string | null, createdBy: string): Promise<SilenceView> {
    const { store, clock } = this.#options;
    const createdAt = clock.now();
    const row: SilenceRow = {
      ...this.#targetOf(what),
      id: randomBase32(ID_LENGTH, randomBytes),
      until: createdAt + forMs,
      reason,
      createdBy,
      createdAt,
    };
    await store.write(() => {
      store.silences.prune(createdAt);
      store.silences.put(row);
    });
    return silenceView(row);
  }

  /** Ends a silence, given by its id or by its rule, node or alert. @throws FleetError `not_found`, `ambiguous`. */
  async remove(what: string): Promise<SilenceView[]> {
    const { store } = this.#options;
    const nodes = new Set(lookUp(store.nodes, what).map(({ id }) => id));
    // The label is the node's name at that time; by now another node may have it.
    const isMeant = ({ id, kind, target, label }: SilenceRow): boolean => {
      if (id === what || target === what) return true;
      if (kind === 'node') return nodes.has(target) || (label === what && store.nodes.byId(target) === undefined);
      return kind === 'alert' && what.length >= MIN_PREFIX && target.startsWith(what);
    };
    const [meant, ...others] = this.active().filter(isMeant);
    if (meant === undefined) {
      throw new FleetError('not_found', `nothing called ${what} is silenced`, {
        hint: 'List silences: fleet alerts silences',
      });
    }
    if (others.length > 0) {
      const known = [meant, ...others].map(({ id, kind, label }) => `${kind} ${label} (${id})`);
      throw new FleetError('ambiguous', `${what} matches more than one silence: ${known.slice(0, 5).join(', ')}`, {
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
    const nodes = lookUp(store.nodes, what);
    const prefixed = what.length < MIN_PREFIX ? [] : store.alerts.byPrefix({ prefix: what });
    const exact = prefixed.filter(({ id }) => id === what);
    const alerts = exact.length > 0 ? exact : prefixed;
    const meant = [
      ...(ruleNames.includes(what) ? [{ kind: 'rule', target: what, label: what } as const] : []),
      ...nodes.map(({ id, name }) => ({ kind: 'node', target: id, label: name }) as const),
      ...alerts.map(({ id }) => ({ kind: 'alert', target: id, label: id }) as const),
    ];
    const [target, ...others] = meant;
    if (target === undefined) {
      const names = [...ruleNames, ...store.nodes.names()];
      throw new FleetError('not_found', `there is no rule, node or alert called ${what}`, {
        hint: `${didYouMean(what, names)}Rules: ${ruleNames.join(', ') || 'none'}. Alerts: fleet alerts`,
      });
    }
    if (others.length > 0) {
      const known = meant.map((one) => `${one.kind} ${one.label}${one.kind === 'node' ? ` (${one.target})` : ''}`);
      throw new FleetError('ambiguous', `${what} matches more than one: ${known.slice(0, 5).join(', ')}`, {
        hint: 'Write the whole id.',
      });
    }
    return target;
  }
}

/** Until when the alert notifies nobody, ms; null if it is not silenced. `id`: undefined for an alert that does not exist yet. */
export function silencedUntil(
  silences: readonly SilenceRow[],
  { id, rule, nodeId }: Pick<AlertRow, 'rule' | 'nodeId'> & { id: string | undefined },
): number | null {
  const targets = { rule, node: nodeId, alert: id };
  const ends = silences.filter(({ kind, target }) => targets[kind] === target).map(({ until }) => until);
  return ends.length === 0 ? null : Math.max(...ends);
}

export function silenceView({ id, kind, label, until, reason, createdBy }: SilenceRow): SilenceView {
  return { id, kind, what: label, until: isoTime(until), reason, by: createdBy };
}
