/** What a run is doing, what it waits for and until when, or why it ended: the same words in every list. */
import type { Run } from "./api/client";
import { left, sentence, words } from "./format";
import { STATUS, statusOf } from "./status";

type Row = Pick<
  Run,
  "status" | "waiting_on" | "current_step" | "next_at" | "start_at" | "status_reason" | "error_type"
>;
interface Doing {
  what: string;
  /** The remaining time, in words. */
  until?: string;
  /** When that time is up. */
  at?: string;
}
const PLAIN_TIMER = "timer"; // the name of a sleep that the workflow didn't name
const NAME = /^[a-z0-9_]+$/;

/** A step as a label: `fetch_ticket` is `Fetch ticket`, and `turn 1` is `Turn 1`. */
const stepWord = (step: string) => (NAME.test(step) ? words(step) : sentence(step));
/** A step, unless it is a sleep without a name. */
export const namedStep = (step: string | null) => (step && step !== PLAIN_TIMER ? stepWord(step) : undefined);

/** Only the message of `fetch_ticket: ToolError: there is no such ticket (at tools.py:31)`. */
export function messageOf({ status_reason: reason, error_type: type }: Pick<Row, "status_reason" | "error_type">) {
  if (!reason || !type) return reason ?? undefined;
  const at = reason.indexOf(`${type}: `);
  return at < 0 ? reason : reason.slice(at + type.length + 2).replace(/ \(at [^()]*\)$/, "");
}
/** The most important thing to know about a run now. */
export function doingOf(r: Row, now: number): Doing {
  const s = statusOf(r);
  const step = namedStep(r.current_step);
  const rest = r.next_at ? left(r.next_at, now) : undefined;
  const at = r.next_at ?? undefined;
  switch (s) {
    case "approval":
      return { what: step ?? STATUS[s].word, until: rest && `${rest} left`, at };
    case "retrying":
      return { what: step ?? messageOf(r) ?? STATUS[s].word, until: rest && `retry in ${rest}`, at };
    case "sleeping":
      if (!r.current_step && rest) return { what: `Starts in ${rest}` };
      return { what: step ?? STATUS.sleeping.word, until: rest && `${rest} left`, at };
    case "queued":
      return {
        what:
          r.start_at && Date.parse(r.start_at) > now
            ? `Starts in ${left(r.start_at, now)}`
            : "Starts when a worker is free",
      };
    default:
      return { what: messageOf(r) ?? step ?? "" };
  }
}
