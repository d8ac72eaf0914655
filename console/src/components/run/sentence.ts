/** The state of a run as one sentence, without its full stop. */
import type { RunDetail } from "../../api/client";
import { sentence, span, words } from "../../format";

const LONG = 160; // characters of an error
type Fault = NonNullable<RunDetail["error"]>;

/** The root cause: Temporal's errors only wrap it. */
function innermost(error: Fault): Fault {
  let cause = error;
  for (let depth = 0; cause.cause && depth < 20; depth += 1) cause = cause.cause;
  return cause;
}
function whyOf(run: RunDetail): string | undefined {
  const fault = run.error && innermost(run.error);
  const text = fault?.message ?? run.status_reason;
  const line = text?.split("\n")[0]!.trim().replace(/\.$/, "");
  if (line) return line.length > LONG ? `${line.slice(0, LONG)}…` : line;
  return run.error_type ?? fault?.type ?? undefined;
}
export function stateOf(run: RunDetail): string {
  if (!run.closed_at) return sentence(run.next.summary);
  const took = Math.max(0, Date.parse(run.closed_at) - Date.parse(run.created_at));
  const ended = words(run.status);
  if (run.status === "completed") return `${ended} in ${span(took)}`;
  const why = whyOf(run);
  return `${ended} after ${span(took)}${why ? `: ${why}` : ""}`;
}
