import { Link } from "@tanstack/react-router";
import { Power, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Overview } from "../../api/client";
import { plural, words } from "../../format";
import { Ago } from "../Bits";
import { Strip } from "../States";
import { Text } from "../Text";

type Condition = Overview["conditions"][number];
interface Sentence {
  text: string;
  /** Where to see more, or to fix it. */
  link?: ReactNode;
}
const CATALOG = { tool: "/tools/$name", workflow: "/workflows/$name", agent: "/agents/$name" } as const;
const isNoun = (thing: string | null): thing is keyof typeof CATALOG => thing !== null && thing in CATALOG;

/** What needs attention, as a sentence. Console-wide conditions are already shown above every page. */
function sentenceOf(c: Condition): Sentence | undefined {
  const runs = plural(c.count, "run is waiting", "runs are waiting");
  const workers = <Link to="/workers">Workers</Link>;
  switch (c.kind) {
    case "queue_unserved":
      return { text: `Queue ${c.name} has no worker; ${runs}`, link: workers };
    case "queue_waiting":
      return { text: `${runs} on queue ${c.name} for a worker with their code`, link: workers };
    case "worker_stale":
      return { text: `The worker ${c.name} hasn’t sent a heartbeat`, link: workers };
    case "switched_off":
      return {
        text: `${words(c.name ?? "")} is switched off`,
        link: isNoun(c.thing) && (
          <Link to={CATALOG[c.thing]} params={{ name: c.name! }}>
            Open the {c.thing}
          </Link>
        ),
      };
    case "commands_pending":
      return {
        text: `${plural(c.count, "command hasn’t", "commands haven’t")} been delivered yet`,
        link: (
          <Link to="/audit" search={{ status: "open" }}>
            Audit
          </Link>
        ),
      };
    case "signals_refused":
      return {
        text: `A run refused ${plural(c.count, "signal")}`,
        link: (
          <Link to="/runs/$id" params={{ id: c.name! }}>
            Open the run
          </Link>
        ),
      };
    case "temporal_away":
    case "projection_behind":
      return undefined;
  }
}
export function ConditionStrips({ conditions }: { conditions: Condition[] }) {
  return conditions.map((c) => {
    const sentence = sentenceOf(c);
    if (!sentence) return null;
    const off = c.kind === "switched_off";
    return (
      <Strip
        key={`${c.kind}${c.thing}${c.name}`}
        tone={off ? "plain" : "person"}
        icon={off ? <Power size={14} aria-hidden /> : <TriangleAlert size={14} aria-hidden />}
        act={sentence.link}
      >
        {sentence.text}{" "}
        {c.since && (
          <span className="muted">
            <Ago at={c.since} />
            {c.reason && (
              <>
                : <Text>{c.reason}</Text>
              </>
            )}
          </span>
        )}
      </Strip>
    );
  });
}
