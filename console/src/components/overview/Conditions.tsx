import { Power, TriangleAlert } from "lucide-react";
import type { Overview } from "../../api/client";
import { plural, words } from "../../format";
import { Ago } from "../Bits";
import { Strip } from "../States";

type Condition = Overview["conditions"][number];
/** What is not as it should be, as a sentence. What limits every page is above every page already. */
function sentenceOf(c: Condition): string | undefined {
  const runs = plural(c.count, "run waits", "runs wait");
  switch (c.kind) {
    case "queue_unserved":
      return `Queue ${c.name} has no worker, ${runs}`;
    case "queue_waiting":
      return `${runs} on queue ${c.name} for a worker that has their code`;
    case "worker_stale":
      return `The worker ${c.name} has sent no heartbeat`;
    case "switched_off":
      return `${words(c.name ?? "")} is switched off`;
    case "commands_pending":
      return `${plural(c.count, "command has", "commands have")} not been delivered yet`;
    case "temporal_away":
    case "projection_behind":
      return undefined;
    default:
      return `${plural(c.count, "signal was", "signals were")} refused`;
  }
}
export function ConditionStrips({ conditions }: { conditions: Condition[] }) {
  return conditions.map((c) => {
    const text = sentenceOf(c);
    if (!text) return null;
    const off = c.kind === "switched_off";
    return (
      <Strip
        key={`${c.kind}${c.name}`}
        tone={off ? "plain" : "person"}
        icon={off ? <Power size={14} /> : <TriangleAlert size={14} />}
      >
        {text}{" "}
        {c.since && (
          <span className="muted">
            <Ago at={c.since} />
            {c.reason && `: ${c.reason}`}
          </span>
        )}
      </Strip>
    );
  });
}
