import type { WorkflowDetail } from "../../api/client";
import { plural, span } from "../../format";
import { STATUS, type Status } from "../../status";

const word = (status: string) => (STATUS[status as Status]?.word ?? status).toLowerCase();

/** The state of its open runs, as a sentence. */
export function openRunsText(w: WorkflowDetail): string {
  const open = Object.entries(w.stats.open).filter(([, n]) => n > 0);
  const total = open.reduce((sum, [, n]) => sum + n, 0);
  if (!total) return w.last_run ? "No open runs." : "It has never run.";
  if (open.length === 1) return `${plural(total, "run is", "runs are")} ${word(open[0]![0])}.`;
  return `${total} runs are open: ${open.map(([s, n]) => `${n} ${word(s)}`).join(", ")}.`;
}
/** How its runs ended in the last 24 hours, and the median duration of the completed ones. */
export function closedRunsText(w: WorkflowDetail): string | undefined {
  const ended = Object.entries(w.stats.closed_24h).filter(([, n]) => n > 0);
  if (!ended.length) return undefined;
  const words = ended.map(([s, n]) => `${n} ${word(s)}`).join(", ");
  const median = w.lately.p50_seconds;
  return `${words} in 24 h${median === null ? "" : `, median ${span(median * 1000)}`}`;
}
