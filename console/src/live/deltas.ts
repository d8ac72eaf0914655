/** Model output while it streams, from the deltas of the stream. Any delta may be lost, and none is stored. */
import type { components } from "../api/schema";

export type Delta = components["schemas"]["Delta"];
/** The text of one model request so far. */
export interface LiveTurn {
  key: string;
  execution_id: string;
  agent: string;
  turn: number;
  attempt: number;
  sequence: number;
  text: string;
  tools: string[];
  /** A delta is missing: the full text comes at the end of the turn. */
  incomplete: boolean;
}
const MOST = 20_000; // characters kept per turn
const AT_ONCE = 20; // turns

const keyOf = (d: Delta) => `${d.execution_id}/${d.call}/${d.turn}`;
function next(old: LiveTurn | undefined, d: Delta): LiveTurn {
  const restarted = !old || d.attempt !== old.attempt || d.sequence <= old.sequence;
  const before = restarted ? undefined : old;
  const text = (before?.text ?? "") + d.text;
  return {
    key: keyOf(d),
    execution_id: d.execution_id,
    agent: d.agent,
    turn: d.turn,
    attempt: d.attempt,
    sequence: d.sequence,
    text: text.slice(-MOST),
    tools: [...(before?.tools ?? []), ...d.tools],
    incomplete: before?.incomplete || text.length > MOST || d.sequence !== (before?.sequence ?? 0) + 1,
  };
}
/** A new attempt, or a sequence number that isn't above the last one, starts over: earlier text is discarded. */
export function applyDeltas(old: LiveTurn[], parts: Delta[]): LiveTurn[] {
  const byKey = new Map(old.map((w) => [w.key, w]));
  for (const d of parts)
    if (d.attempt >= (byKey.get(keyOf(d))?.attempt ?? 0)) byKey.set(keyOf(d), next(byKey.get(keyOf(d)), d));
  return [...byKey.values()].slice(-AT_ONCE);
}
/** Without the turns that have ended: their text is in the output of their steps. */
export const openTurns = (
  old: LiveTurn[],
  ended: { execution_id: string; name: string; turn?: number | null }[],
): LiveTurn[] =>
  old.filter((w) => !ended.some((e) => e.execution_id === w.execution_id && e.name === w.agent && e.turn === w.turn));
