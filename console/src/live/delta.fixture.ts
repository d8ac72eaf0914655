/** A delta of a model's response, for tests. */
import type { Delta } from "./deltas";

export const part = (sequence: number, text: string, over: Partial<Delta> = {}): Delta => ({
  execution_id: "e",
  agent: "triager",
  call: "c",
  turn: 1,
  attempt: 1,
  sequence,
  text,
  tools: [],
  ...over,
});
