import { Link } from "@tanstack/react-router";
import { Ban, Check, Hand, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import type { AgentDetail } from "../../api/client";
import { sentence } from "../../format";
import classes from "../../screens/Agent.module.css";
import { RiskMark } from "../../status";
import { approversOf, ruleRef } from "../rules";
import { Text } from "../Text";

type Entry = AgentDetail["tools"][number];

function Group({
  word,
  Icon,
  items,
  none,
  detail,
}: {
  word: string;
  Icon: LucideIcon;
  items: Entry[];
  none: string;
  detail?(e: Entry): ReactNode;
}) {
  return (
    <section>
      <h3>
        <Icon size={14} aria-hidden />
        {word} <i>{items.length}</i>
      </h3>
      {items.length === 0 && <p className={classes.none}>{none}</p>}
      <ul>
        {items.map((e) => (
          <li key={e.name}>
            <Link to={e.kind === "agent" ? "/agents/$name" : "/tools/$name"} params={{ name: e.name }} className="cut">
              <Text>{e.title ?? e.name}</Text>
            </Link>
            {e.kind === "agent" ? <RiskMark risk="agent" /> : e.risk && <RiskMark risk={e.risk} />}
            {detail && <p>{detail(e)}</p>}
          </li>
        ))}
      </ul>
    </section>
  );
}
/** What the agent can do without approval, with approval, or never, and why. */
export function May({ tools }: { tools: Entry[] }) {
  const of = (use: Entry["use"]) => tools.filter((t) => t.use === use);
  return (
    <div className={classes.may}>
      <Group word="Without approval" Icon={Check} items={of("unasked")} none="Nothing." />
      <Group
        word="With approval"
        Icon={Hand}
        items={of("asking")}
        none="Nothing."
        detail={(e) => (
          <>
            from{" "}
            <b>
              <Text>{approversOf(e.approvers)}</Text>
            </b>
            {e.rule &&
              (ruleRef(e.rule).builtIn ? (
                ", by the built\u2011in rule"
              ) : (
                <>
                  , by{" "}
                  <code>
                    <Text>{e.rule}</Text>
                  </code>
                </>
              ))}
          </>
        )}
      />
      <Group
        word="Never"
        Icon={Ban}
        items={of("never")}
        none="None of the tools in its code."
        detail={(e) => <Text>{sentence(e.reason)}</Text>}
      />
    </div>
  );
}
