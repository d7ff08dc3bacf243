/**
 * Which nodes a person means: `web-[1-20],db-*,@role=edge&@online!web-7`.
 *
 * `,` is union, `&` intersection, `!` difference; all bind alike, from left to right. CLI.md calls this SELECTOR.
 */

import { badSelector, expandTerm, MAX_NODE_SET_SIZE, splitTerms, type Term } from './node-set.ts';
import { NODE_STATUSES } from './states.ts';

/** Patterns, labels and keywords in one selector: each is tried on each node. */
const MAX_SCANS = 1_000;
/** Shortest prefix of an id that stands for it. No name may be one; a shorter text is a name and nothing else. */
export const MIN_ID_PREFIX = 4;

const KEYWORD_HINT = `Known are @all, ${NODE_STATUSES.map((status) => `@${status}`).join(', ')}, and @KEY=VALUE for a label.`;

type Matcher =
  | { kind: 'all' }
  | { kind: 'status'; status: string }
  | { kind: 'label'; key: string; value: string }
  | { kind: 'patterns'; patterns: string[] }
  | { kind: 'names'; names: string[] };

type Operator = ',' | '&' | '!';

export const ALL = '@all';
/** Every node with a live tunnel: what a broadcast means when nothing is said. */
export const ALL_CONNECTED = '@online,@limited,@error';

interface Selector {
  readonly text: string;
  readonly steps: readonly { operator: Operator; matcher: Matcher }[];
}

/** What a selection sees of a node. With an `id`, a name may also be that id or a unique prefix of it. */
export interface SelectableNode {
  name: string;
  status: string;
  labels: Readonly<Record<string, string>>;
  id?: string;
}

type Identified = Pick<SelectableNode, 'name' | 'id'>;

interface Selection<N> {
  /** In the order in which the nodes were given. */
  nodes: N[];
  /** Literal names, on either side of any operator, that fit no node: most likely mistyped. */
  unmatched: string[];
  /** Literal names that are also the id, or a prefix of the id, of another node. The node of that name was selected; do not act on it. */
  ambiguous: { text: string; meant: { name: string; id: string }[] }[];
}

/** @throws FleetError `bad_selector`, with the place in `facts.position`. */
export function parseSelector(text: string): Selector {
  const room: Room = { names: MAX_NODE_SET_SIZE, scans: MAX_SCANS };
  const steps = splitTerms(text, ',&!').map((term) => ({
    operator: toOperator(term.operator),
    matcher: parseTerm(text, term, room),
  }));
  return { text, steps };
}

/** The nodes that the selector means out of `nodes`, and the names in it that no node has. `others` cannot be selected, but have ids, too. */
export function selectNodes<N extends SelectableNode>(
  selector: Selector,
  nodes: readonly N[],
  others: readonly Identified[] = [],
): Selection<N> {
  const index = new NodeIndex(nodes, others);
  const unmatched = new Set<string>();
  let chosen = new Set<N>();
  for (const { operator, matcher } of selector.steps) {
    const meant = match(matcher, nodes, index, unmatched);
    if (operator === ',') for (const node of meant) chosen.add(node);
    else if (operator === '!') for (const node of meant) chosen.delete(node);
    else chosen = new Set([...chosen].filter((node) => meant.has(node)));
  }
  return { nodes: nodes.filter((node) => chosen.has(node)), unmatched: [...unmatched], ambiguous: index.ambiguous };
}

function toOperator(character: string): Operator {
  return character === '&' || character === '!' ? character : ',';
}

/** Remaining budget of a selector, so that no text can keep the gateway busy. */
interface Room {
  names: number;
  scans: number;
}

function parseTerm(source: string, term: Term, room: Room): Matcher {
  if (!/^@|[*?]/.test(term.text)) {
    const names = expandTerm(source, term, { limit: room.names });
    room.names -= names.length;
    return { kind: 'names', names };
  }
  if (room.scans === 0) throw badSelector(source, term.position, `more than ${MAX_SCANS} patterns`);
  if (term.text.startsWith('@')) {
    room.scans -= 1;
    return parseKeyword(source, term);
  }
  const patterns = expandTerm(source, term, { limit: room.scans, wildcards: true });
  room.scans -= patterns.length;
  return { kind: 'patterns', patterns };
}

function parseKeyword(source: string, term: Term): Matcher {
  const word = term.text.slice(1);
  if (word === 'all') return { kind: 'all' };
  const status = NODE_STATUSES.find((known) => known === word);
  if (status !== undefined) return { kind: 'status', status };
  const label = word.startsWith('label:') ? word.slice('label:'.length) : word;
  const equals = label.indexOf('=');
  if (equals > 0) return { kind: 'label', key: label.slice(0, equals), value: label.slice(equals + 1) };
  if (word === 'pending') {
    throw badSelector(
      source,
      term.position,
      'pending nodes cannot be selected',
      'Approve them first: fleet nodes approve NODE.',
    );
  }
  throw badSelector(source, term.position, `unknown keyword ${JSON.stringify(term.text)}`, KEYWORD_HINT);
}

function match<N extends SelectableNode>(
  matcher: Matcher,
  nodes: readonly N[],
  index: NodeIndex<N>,
  unmatched: Set<string>,
): Set<N> {
  switch (matcher.kind) {
    case 'all':
      return new Set(nodes);
    case 'status':
      return new Set(nodes.filter((node) => node.status === matcher.status));
    case 'label':
      return new Set(nodes.filter((node) => hasLabel(node, matcher.key, matcher.value)));
    case 'patterns':
      return new Set(nodes.filter((node) => matcher.patterns.some((pattern) => matchesWildcard(pattern, node.name))));
    case 'names': {
      const found = new Set<N>();
      for (const name of matcher.names) {
        const node = index.find(name);
        if (node === undefined) unmatched.add(name);
        else found.add(node);
      }
      return found;
    }
  }
}

function hasLabel(node: SelectableNode, key: string, value: string): boolean {
  if (!Object.hasOwn(node.labels, key)) return false;
  return matchesWildcard(value, node.labels[key] ?? '');
}

class NodeIndex<N extends SelectableNode> {
  readonly ambiguous: Selection<N>['ambiguous'] = [];
  readonly #byName: Map<string, N>;
  readonly #byId = new Map<string, N>();
  readonly #all: readonly Identified[];
  /** Sorted by id, once a name may be one. */
  #identified: { name: string; id: string }[] | undefined;

  constructor(nodes: readonly N[], others: readonly Identified[]) {
    this.#byName = new Map(nodes.map((node) => [node.name, node]));
    for (const node of nodes) if (node.id !== undefined) this.#byId.set(node.id, node);
    this.#all = [...nodes, ...others];
  }

  find(name: string): N | undefined {
    const named = this.#byName.get(name);
    const identified = this.#withId(name);
    const strangers = identified.filter(({ id }) => id !== named?.id);
    if (named === undefined) return strangers.length === 1 ? this.#byId.get(strangers[0]?.id ?? '') : undefined;
    if (strangers.length > 0) {
      const meant = [{ name, id: named.id ?? '' }, ...strangers];
      if (!this.ambiguous.some(({ text }) => text === name)) this.ambiguous.push({ text: name, meant });
    }
    return named;
  }

  /** The one whose id that is, else the first two whose id begins so. */
  #withId(text: string): { name: string; id: string }[] {
    this.#identified ??= this.#all
      .flatMap(({ name, id }) => (id === undefined ? [] : [{ name, id }]))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const at = firstNotBefore(this.#identified, text);
    const [first, second] = [this.#identified[at], this.#identified[at + 1]];
    if (first?.id === text) return [first];
    if (text.length < MIN_ID_PREFIX) return [];
    return [first, second]
      .filter((node) => node?.id.startsWith(text) === true)
      .map((node) => node as { name: string; id: string });
  }
}

/** Index of the first, sorted by id, whose id is not less than `wanted`. */
function firstNotBefore(sorted: readonly { id: string }[], wanted: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle]?.id ?? '') < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `*` is any text, `?` one character. Goes back to the last `*` only, so no pattern takes exponential time. */
export function matchesWildcard(pattern: string, text: string): boolean {
  let atPattern = 0;
  let atText = 0;
  let star = -1;
  let starText = 0;
  while (atText < text.length) {
    const wanted = pattern[atPattern];
    if (wanted === '*') {
      star = atPattern;
      starText = atText;
      atPattern += 1;
    } else if (wanted === '?' || wanted === text[atText]) {
      atPattern += 1;
      atText += 1;
    } else if (star >= 0) {
      starText += 1;
      atPattern = star + 1;
      atText = starText;
    } else {
      return false;
    }
  }
  while (pattern[atPattern] === '*') atPattern += 1;
  return atPattern === pattern.length;
}
