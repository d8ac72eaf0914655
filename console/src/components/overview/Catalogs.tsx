import { Link } from "@tanstack/react-router";
import type { Overview } from "../../api/client";
import { plural, usd } from "../../format";
import { RiskMark } from "../../status";
import { Ago } from "../Bits";
import { Section } from "../Page";
import { ruleWord } from "../rules";
import classes from "./Overview.module.css";
import { Text } from "../Text";

export type Shown = Pick<NonNullable<Overview["lists"]>, "workflows" | "agents" | "tools">;
function may(a: Shown["agents"]["items"][number]): string {
  if (a.disabled) return "switched off";
  if (!a.unasked && !a.asking) return "no tools";
  return [a.unasked && `${plural(a.unasked, "tool")} allowed`, a.asking && `${a.asking} with approval`]
    .filter(Boolean)
    .join(", ");
}
/** The catalogs: workflows, agents, and the tools that change something. */
export function Catalogs({ workflows, agents, tools }: Shown) {
  return (
    <div className={classes.three}>
      <Section title="Workflows" note={workflows.total} more="All" to="/workflows">
        <ul>
          {workflows.items.map((w) => (
            <li key={w.name}>
              <Link to="/workflows/$name" params={{ name: w.name }} className={classes.line}>
                <span className="cut">
                  <Text>{w.title}</Text>
                </span>
                <span className="muted">{w.disabled ? "switched off" : w.served === false ? "no worker" : ""}</span>
                <span className="num muted">{w.last_run ? <Ago at={w.last_run.created_at} /> : "never ran"}</span>
              </Link>
            </li>
          ))}
        </ul>
      </Section>
      <Section title="Agents" note={agents.total} more="All" to="/agents">
        <ul>
          {agents.items.map((a) => (
            <li key={a.name}>
              <Link to="/agents/$name" params={{ name: a.name }} className={classes.agent}>
                <span className="cut">
                  <Text>{a.title}</Text>
                </span>
                <span className="num muted">{a.usd == null ? "unpriced" : a.usd > 0 && usd(a.usd, 2)}</span>
                <span className="cut">{may(a)}</span>
                <span className="muted">{a.open ? `${a.open} open` : ""}</span>
              </Link>
            </li>
          ))}
        </ul>
      </Section>
      <Section title="Tools that act" note={`${tools.acting} of ${tools.total}`} more="All" to="/tools">
        <ul>
          {tools.items.map((t) => (
            <li key={t.name}>
              <Link to="/tools/$name" params={{ name: t.name }} className={classes.line}>
                <span className="cut">
                  <Text>{t.title}</Text>
                </span>
                <span className="cut muted">
                  <Text>{t.disabled ? "switched off" : ruleWord(t)}</Text>
                </span>
                <RiskMark risk={t.risk} />
              </Link>
            </li>
          ))}
        </ul>
      </Section>
    </div>
  );
}
