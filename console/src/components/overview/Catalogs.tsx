import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Tool } from "../../api/client";
import * as q from "../../api/queries";
import { usd } from "../../format";
import { RiskMark } from "../../status";
import { Ago } from "../Bits";
import { Section } from "../Page";
import classes from "./Overview.module.css";

const ROWS = 6;
const asks = (t: Tool) =>
  t.switch.disabled
    ? "switched off"
    : t.policy.effect === "require_approval"
      ? `asks ${t.policy.approvers[0] ?? "approvers"}`
      : t.policy.effect === "deny"
        ? "never"
        : "unasked";
/** What there is: workflows, agents, and the tools that change something. */
export function Catalogs() {
  const { data: workflows } = useQuery(q.workflows.list());
  const { data: agents } = useQuery(q.agents.list());
  const { data: tools } = useQuery(q.tools.list());
  const acting = (tools?.items ?? [])
    .filter((t) => t.risk !== "read")
    .sort((a, b) => Number(b.risk === "destructive") - Number(a.risk === "destructive"));
  return (
    <div className={classes.three}>
      <Section title="Workflows" note={workflows?.items.length} more="All" to="/workflows">
        <ul>
          {workflows?.items.slice(0, ROWS).map((w) => (
            <li key={w.name}>
              <Link to="/workflows/$name" params={{ name: w.name }} className={classes.line}>
                <span className="cut">{w.title}</span>
                <span className="muted">
                  {w.switch.disabled ? "switched off" : w.served === false ? "no worker" : ""}
                </span>
                <span className="num muted">{w.last_run ? <Ago at={w.last_run.created_at} /> : "never ran"}</span>
              </Link>
            </li>
          ))}
        </ul>
      </Section>
      <Section title="Agents" note={agents?.items.length} more="All" to="/agents">
        <ul>
          {agents?.items.slice(0, ROWS).map((a) => (
            <li key={a.name}>
              <Link to="/agents/$name" params={{ name: a.name }} className={classes.line}>
                <span className="cut">{a.title}</span>
                <span className="muted">
                  {a.switch.disabled ? "switched off" : a.stats.open ? `${a.stats.open} open` : ""}
                </span>
                <span className="num muted">{a.stats.usage.usd != null ? usd(a.stats.usage.usd, 2) : "unpriced"}</span>
              </Link>
            </li>
          ))}
        </ul>
      </Section>
      <Section
        title="Tools that act"
        note={tools && `${acting.length} of ${tools.items.length}`}
        more="All"
        to="/tools"
      >
        <ul>
          {acting.slice(0, ROWS).map((t) => (
            <li key={t.name}>
              <Link to="/tools/$name" params={{ name: t.name }} className={classes.line}>
                <span className="cut">{t.title}</span>
                <span className="cut muted">{asks(t)}</span>
                <RiskMark risk={t.risk} />
              </Link>
            </li>
          ))}
        </ul>
      </Section>
    </div>
  );
}
