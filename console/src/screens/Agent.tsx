import { useMediaQuery } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Ban, Bot, Pencil, Power } from "lucide-react";
import { useMemo, useState } from "react";
import type { Agent, AgentDetail } from "../api/client";
import * as q from "../api/queries";
import { Calls } from "../components/agent/Calls";
import { EditVersion } from "../components/agent/EditVersion";
import { May } from "../components/agent/May";
import { Rules } from "../components/agent/Rules";
import { Use } from "../components/agent/Use";
import { short, Versions } from "../components/agent/Versions";
import { Button } from "../components/Button";
import { Catalog, Lead } from "../components/Catalog";
import { Confirm } from "../components/Confirm";
import { Bar, Section } from "../components/Page";
import { Blank, Failed, Skeleton, Strip, useAway } from "../components/States";
import { moment, plural, sentence, span, tokens, usd } from "../format";
import { useNow } from "../live/now";
import classes from "./Agent.module.css";
import { Text } from "../components/Text";

const began = (a: Agent) => a.stats.calls.completed + a.stats.calls.failed + a.stats.calls.cancelled + a.stats.open;
/** Token usage, if no price is known. */
const unpriced = ({ stats: { usage } }: Agent) =>
  usage.usd || !usage.requests ? "" : `, ${tokens(usage.input_tokens + usage.output_tokens)} tokens`;
const note = (a: Agent) =>
  a.switch.disabled ? "switched off" : `${a.stats.open ? `${a.stats.open} open` : "idle"}${unpriced(a)}`;

function Verbs({ agent }: { agent: AgentDetail }) {
  const [dialog, setDialog] = useState<"switch" | "edit">();
  const queries = useQueryClient();
  const away = useAway();
  const to = agent.switch.disabled ? "enable" : "disable";
  const act = (verb: string) => agent.actions.find((a) => a.verb === verb);
  const off = (verb: string) => ({
    disabled: !act(verb)?.allowed || away,
    title: away ? "The API isn’t responding" : (act(verb)?.reason ?? undefined),
  });
  return (
    <>
      <Button
        look="quiet"
        icon={agent.switch.disabled ? <Power size={14} aria-hidden /> : <Ban size={14} aria-hidden />}
        {...off(to)}
        onClick={() => setDialog("switch")}
      >
        {agent.switch.disabled ? "Enable" : "Disable"}
      </Button>
      {agent.active && (
        <Button icon={<Pencil size={13} aria-hidden />} {...off("edit")} onClick={() => setDialog("edit")}>
          New version
        </Button>
      )}
      {dialog === "edit" && agent.active && (
        <EditVersion agent={agent} active={agent.active} onClose={() => setDialog(undefined)} />
      )}
      {dialog === "switch" && (
        <Confirm
          title={agent.switch.disabled ? `Enable ${agent.title}?` : `Disable ${agent.title}?`}
          text={
            agent.switch.disabled
              ? "The current rules apply again. Calls that were denied stay failed."
              : `Within seconds, all its model turns and calls fail, in open runs too. ${plural(agent.stats.open, "call")} ${agent.stats.open === 1 ? "is" : "are"} open now.`
          }
          verb={agent.switch.disabled ? "Enable" : "Disable"}
          danger={!agent.switch.disabled}
          needsReason={!agent.switch.disabled}
          onClose={() => setDialog(undefined)}
          onConfirm={async (reason, key) => {
            await q.policies.turn({ noun: "agent", name: agent.name }, to, reason, key);
            await queries.invalidateQueries({ queryKey: ["agents"] });
          }}
        />
      )}
    </>
  );
}
function Open({ agent: a }: { agent: AgentDetail }) {
  const now = useNow();
  const { calls, open } = a.stats;
  const { disabled, reason, created_by, created_at } = a.switch;
  return (
    <>
      {disabled && (
        <Strip tone="wrong" icon={<Power size={15} />}>
          Switched off<Text>{created_by ? ` by ${created_by}` : ""}</Text>
          {created_at && `, ${moment(created_at, now)}`}: <Text>{reason || "no reason given"}</Text>. All its calls
          fail.
        </Strip>
      )}
      <Lead
        title={a.title}
        text={
          open ? (
            <b>{open === 1 ? "1 call is open." : `${open} calls are open.`}</b>
          ) : began(a) ? (
            "No calls are open."
          ) : (
            "No calls in the last 24 hours."
          )
        }
        facts={[
          <>
            Version <code>{short(a.version)}</code>
            {a.active && `, ${moment(a.active.created_at, now)}`}{" "}
            <Text>{a.chosen_by ? `by ${a.chosen_by}` : "from code"}</Text>
          </>,
          <Text>{a.models.join(", ") || "the worker’s default model"}</Text>,
          `${plural(began(a), "call")} in 24 h${calls.failed ? `, ${calls.failed} failed` : ""}`,
          ...(calls.p50_seconds === null ? [] : [`median ${span(calls.p50_seconds * 1000)}`]),
          a.served === false ? `no worker on ${a.task_queue}` : `served on ${a.task_queue}`,
        ]}
      />
      {(a.problems.length > 0 || a.outdated) && (
        <ul className={classes.problems}>
          {a.outdated && <li>The version in use was made for older code.</li>}
          {a.problems.map((p) => (
            <li key={p}>
              <Text>{sentence(p)}</Text>.
            </li>
          ))}
        </ul>
      )}
      <Section title="What it may do" note={disabled ? "once it is enabled" : undefined}>
        <May tools={a.tools} />
      </Section>
      <Section title="Limits and usage" note="runs you can see, last 14 days">
        <Use agent={a} />
      </Section>
      <Section title="Versions" note={a.versions.length}>
        <Versions agent={a} />
      </Section>
      <Section title="Rules" note="naming this agent">
        <Rules agent={a} />
      </Section>
      <Section title="Calls" note="newest first" more="All its runs" to="/runs" search={{ agent: a.name }}>
        <Calls name={a.name} />
      </Section>
    </>
  );
}
/** The list of agents; beside it the selected agent’s permissions, usage, versions and rules. */
export default function Agents() {
  const { name } = useParams({ strict: false }) as { name?: string };
  const list = useQuery(q.agents.list());
  const wide = useMediaQuery("(min-width: 821px)", matchMedia("(min-width: 821px)").matches);
  const items = useMemo(() => list.data?.items.toSorted((a, b) => a.title.localeCompare(b.title)), [list.data]);
  const at = name ?? items?.[0]?.name;
  const one = useQuery({ ...q.agents.one(at ?? ""), enabled: at !== undefined });
  const crumbs = name ? [{ word: "Agents", to: "/agents" }, { word: one.data?.title ?? name }] : [{ word: "Agents" }];
  if (list.error && !list.data)
    return (
      <>
        <Bar crumbs={crumbs} />
        <Failed error={list.error} reset={() => void list.refetch()} />
      </>
    );
  return (
    <>
      <Bar crumbs={crumbs}>{one.data && (wide || name) && <Verbs key={one.data.name} agent={one.data} />}</Bar>
      {items && !items.length ? (
        <Blank icon={<Bot size={20} />} title="No agent is registered yet" command="agentgrid worker">
          <p>A worker registers its project’s agents when it starts.</p>
        </Blank>
      ) : (
        <Catalog
          word="Agents"
          at={(wide ? at : name) ?? ""}
          picked={name !== undefined}
          entries={items?.map((x) => ({
            key: x.name,
            to: `/agents/${x.name}`,
            title: x.title,
            end: x.stats.usage.usd ? usd(x.stats.usage.usd) : "",
            note: note(x),
          }))}
        >
          {one.error && !one.data ? (
            <Failed error={one.error} reset={() => void one.refetch()} />
          ) : one.data ? (
            <Open key={one.data.name} agent={one.data} />
          ) : (
            <Skeleton rows={10} />
          )}
        </Catalog>
      )}
    </>
  );
}
