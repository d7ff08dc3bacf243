/** The state of `fleet top` and how keys change it; pure, so that every key is a line in a test. */
import { type NodeStatus, worstFirst } from '../../domain/states.ts';
import type { HealthNodeView } from '../../protocol/views.ts';
import type { Key } from './screen.ts';

/** The key for each order. */
export const SORT_LETTERS = {
  s: 'status',
  n: 'name',
  c: 'cpu',
  m: 'mem',
  d: 'disk',
  l: 'load',
  t: 'rtt',
  u: 'runs',
} as const;
export type SortKey = (typeof SORT_LETTERS)[keyof typeof SORT_LETTERS];

export interface TopState {
  /** Undefined until the first answer. */
  readonly nodes: readonly HealthNodeView[] | undefined;
  /** When the nodes were received, ms since the epoch. */
  readonly receivedAt: number;
  /** Why the gateway does not answer; undefined while it does. */
  readonly lost: string | undefined;
  readonly sort: SortKey;
  readonly reversed: boolean;
  readonly filter: string;
  /** Whether keys edit the filter. */
  readonly typing: boolean;
  readonly selected: string | undefined;
  readonly details: boolean;
  readonly help: boolean;
}

export const FIRST_STATE: TopState = {
  nodes: undefined,
  receivedAt: 0,
  lost: undefined,
  sort: 'status',
  reversed: false,
  filter: '',
  typing: false,
  selected: undefined,
  details: false,
  help: false,
};

/** The nodes to show, in order. */
export function visibleNodes({ nodes = [], filter, sort, reversed }: TopState): HealthNodeView[] {
  const words = filter.toLowerCase().split(/\s+/);
  const shown = nodes.filter(({ name, status }) =>
    words.every((word) => `${name} ${status}`.toLowerCase().includes(word)),
  );
  return shown.sort((a, b) => compare(a, b, sort, reversed) || (a.name < b.name ? -1 : 1));
}

/** The state after a key; undefined to quit. `pageRows` nodes fit on a page. */
export function pressKey(state: TopState, key: Key, pageRows: number): TopState | undefined {
  if ('name' in key && key.name === 'quit') return undefined;
  if (state.typing) return typeFilter(state, key);
  if (state.help) return { ...state, help: false };
  if ('text' in key) return pressLetter(state, key.text);
  if (key.name === 'enter') return { ...state, details: !state.details };
  if (key.name === 'escape') return { ...state, filter: '', selected: undefined, details: false };
  const moves: Partial<Record<typeof key.name, number>> = {
    ...{ up: -1, down: 1, pageUp: -pageRows, pageDown: pageRows },
    ...{ home: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY },
  };
  const by = moves[key.name];
  return by === undefined ? state : moveSelection(state, by);
}

const LETTERS: Readonly<Record<string, (state: TopState) => TopState | undefined>> = {
  q: () => undefined,
  r: (state) => ({ ...state, reversed: !state.reversed }),
  '/': (state) => ({ ...state, typing: true }),
  '?': (state) => ({ ...state, help: true }),
  h: (state) => ({ ...state, help: true }),
  k: (state) => moveSelection(state, -1),
  j: (state) => moveSelection(state, 1),
};

function pressLetter(state: TopState, text: string): TopState | undefined {
  if (Object.hasOwn(LETTERS, text)) return LETTERS[text]?.(state);
  if (!Object.hasOwn(SORT_LETTERS, text)) return state;
  const sort = SORT_LETTERS[text as keyof typeof SORT_LETTERS];
  // Pressing it again reverses the order, like clicking a header.
  return { ...state, sort, reversed: state.sort === sort && !state.reversed };
}

function typeFilter(state: TopState, key: Key): TopState {
  if ('text' in key) return { ...state, filter: state.filter + key.text };
  if (key.name === 'erase') return { ...state, filter: [...state.filter].slice(0, -1).join('') };
  if (key.name === 'enter') return { ...state, typing: false };
  if (key.name === 'escape') return { ...state, typing: false, filter: '' };
  return state;
}

/** Without a selection, down selects the first and up the last. */
function moveSelection(state: TopState, by: number): TopState {
  const shown = visibleNodes(state);
  const present = shown.findIndex(({ name }) => name === state.selected);
  const from = present >= 0 ? present : by > 0 ? -1 : shown.length;
  const index = Math.max(0, Math.min(shown.length - 1, from + by));
  return { ...state, selected: shown[index]?.name };
}

const FIGURES: Readonly<Record<Exclude<SortKey, 'status' | 'name'>, (node: HealthNodeView) => number | null>> = {
  cpu: (node) => node.cpuPct,
  mem: (node) => node.memUsedPct,
  disk: (node) => node.diskUsedPct,
  load: (node) => node.load1,
  rtt: (node) => node.rttMs,
  runs: (node) => node.runsActive ?? null,
};

/** Largest and worst first; names from a to z. Nodes without a figure always come last. */
function compare(a: HealthNodeView, b: HealthNodeView, sort: SortKey, reversed: boolean): number {
  const turn = reversed ? -1 : 1;
  if (sort === 'name') return turn * (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  if (sort === 'status') return turn * worstFirst(a.status as NodeStatus, b.status as NodeStatus);
  const [left, right] = [FIGURES[sort](a), FIGURES[sort](b)];
  if (left === null || right === null) return Number(left === null) - Number(right === null);
  return turn * (right - left);
}
