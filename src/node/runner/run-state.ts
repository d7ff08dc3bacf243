/** The state of a run in this process: every change goes through {@link step}, and {@link nextAct} says what to do about it. Both are pure. */
import type { CommandEnd, CommandExit } from '../shim/messages.ts';
import type { KillCause } from './outcome.ts';

type Stage =
  /** A former process may have started it; it is not followed again yet. */
  | 'inherited'
  /** Certainly not started. */
  | 'waiting'
  /** The shim was asked to start it and has not answered. */
  | 'ordered'
  /** Started, and followed. */
  | 'running'
  /** None of it is alive, or what is left could not be killed; the outcome is not durable yet. */
  | 'over'
  /** The outcome is durable. */
  | 'recorded'
  /** No longer followed here; the next process takes it up. */
  | 'left';

export interface RunState {
  readonly stage: Stage;
  /** Why the runner ends the command; the first cause wins. */
  readonly cause: KillCause | null;
  /** The command exited by itself while something still holds its output; later kills only end what is left. */
  readonly exit: CommandExit | null;
  /** The shim's report once the output is complete. */
  readonly end: CommandEnd | null;
  /** Whether someone may still send stdin. */
  readonly stdinOpen: boolean;
  /** This process stops following the run, but completes an ending that has begun. */
  readonly released: boolean;
}

export type RunEvent =
  | { type: 'ordered' | 'started' | 'stdin-complete' | 'release' | 'over' | 'recorded' | 'left' }
  | { type: 'kill'; cause: KillCause }
  | { type: 'exit'; exit: CommandExit }
  | { type: 'end'; end: CommandEnd };

/** The state after an event; the same object if the event no longer matters. */
export function step(state: RunState, event: RunEvent): RunState {
  const { stage } = state;
  const isOver = stage === 'over' || stage === 'recorded';
  switch (event.type) {
    case 'ordered':
      return stage === 'waiting' ? { ...state, stage: 'ordered' } : state;
    case 'started':
      return stage === 'ordered' || stage === 'inherited' ? { ...state, stage: 'running' } : state;
    case 'kill':
      return isOver || state.cause !== null ? state : { ...state, cause: event.cause };
    case 'exit':
      // An exit that follows a kill is part of that kill.
      return isOver || state.cause !== null ? state : { ...state, exit: event.exit };
    case 'end':
      return stage === 'recorded' || state.end !== null ? state : { ...state, end: event.end };
    case 'stdin-complete':
      return state.stdinOpen ? { ...state, stdinOpen: false } : state;
    case 'release':
      return state.released ? state : { ...state, released: true };
    case 'over':
      return isOver || stage === 'left' ? state : { ...state, stage: 'over' };
    case 'recorded':
      return stage === 'over' ? { ...state, stage: 'recorded' } : state;
    case 'left':
      return stage === 'recorded' || stage === 'left' ? state : { ...state, stage: 'left' };
  }
}

/**
 * What is to be done now. `put back`: the journal says that it may have been started, and it was not; the next process starts it.
 * `record`: the command came to its own end.
 */
export function nextAct(state: RunState): 'start' | 'wait' | 'kill' | 'record' | 'put back' | 'nothing' {
  const { stage, cause, end, released } = state;
  if (stage === 'waiting') return cause !== null ? 'kill' : released ? 'put back' : 'start';
  if (stage !== 'running') return 'nothing';
  if (cause !== null) return 'kill';
  if (end !== null) return 'record';
  return released ? 'nothing' : 'wait';
}

/** Whether the command can do nothing more, or is not our concern any more. */
export function isGone({ stage }: RunState): boolean {
  return stage === 'over' || stage === 'recorded' || stage === 'left';
}
