import { useQuery } from "@tanstack/react-query";
import { Bot, Pencil, RotateCcw, Workflow } from "lucide-react";
import { useEffect, useState } from "react";
import type { ApprovalDetail, ToolDetail } from "../../api/client";
import * as q from "../../api/queries";
import { agentTitle, flowTitle, moment, words } from "../../format";
import { useKeys } from "../../live/keys";
import { RISK, RiskMark } from "../../status";
import { Expiry } from "../Bits";
import { Button } from "../Button";
import { Json } from "../Json";
import { Hidden, useCutOff } from "../States";
import { Call } from "./Call";
import { Decide } from "./Decide";
import { LookedAt, Previous, Prose } from "./Context";
import classes from "./Letter.module.css";
import { propertiesOf, type Arguments } from "./schema";
import { useDecision } from "./useDecision";

/** The value of an approval's payload: the arguments of a call, or what a workflow shows. */
export const valueOf = (payload: unknown): unknown =>
  payload && typeof payload === "object" && "value" in payload ? payload.value : undefined;
const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

function Head({ approval, tool }: { approval: ApprovalDetail; tool: ToolDetail | undefined }) {
  const Who = approval.agent ? Bot : Workflow;
  return (
    <header className={classes.head}>
      <p className={classes.from}>
        <span className={classes.face}>
          <Who size={15} aria-hidden />
        </span>
        <span>
          <b>{approval.agent ? agentTitle(approval) : flowTitle(approval)}</b>
          {approval.agent ? ", an agent, asks" : ", a workflow, asks"}{" "}
          <span className="muted">
            <span className={classes.to}>{approval.approvers.join(", ")} · </span>
            {moment(approval.opened_at)}
          </span>
        </span>
      </p>
      <h2>{approval.title}</h2>
      <p className={classes.facts}>
        {tool && (
          <>
            <RiskMark risk={tool.risk} />
            {approval.undoable === false && <span>Can’t be undone</span>}
            {approval.reach.map((r) => (
              <span key={r}>{r}</span>
            ))}
            {approval.undoable === null && !approval.reach.length && <span>{RISK[tool.risk].says}</span>}
          </>
        )}
        {approval.expires_at && approval.status === "pending" && (
          <span className={classes.until}>
            <Expiry from={approval.opened_at} until={approval.expires_at} />
          </span>
        )}
      </p>
    </header>
  );
}
/** What a workflow shows at its own gate: texts as text, the rest as it is. */
function Shown({ value }: { value: unknown }) {
  if (typeof value === "string")
    return (
      <figure className={classes.prose}>
        <blockquote>
          {value.split("\n\n").map((p, i) => (
            <p key={i}>{p}</p>
          ))}
        </blockquote>
      </figure>
    );
  if (!isRecord(value)) return <Json value={value} />;
  const texts = Object.entries(value).filter(([, v]) => typeof v === "string" && v.length > 120);
  const rest = Object.fromEntries(Object.entries(value).filter(([k]) => !texts.some(([t]) => t === k)));
  return (
    <>
      {Object.keys(rest).length > 0 && (
        <Call asked={rest} values={rest} properties={{}} authored={[]} edit={false} faults={{}} />
      )}
      {texts.map(([k, text]) => (
        <figure key={k} className={classes.prose}>
          <figcaption>{words(k)}</figcaption>
          <blockquote>
            {String(text)
              .split("\n\n")
              .map((p, i) => (
                <p key={i}>{p}</p>
              ))}
          </blockquote>
        </figure>
      ))}
    </>
  );
}

/** An approval as a letter: who asks for what, the call itself, why one is asked, the verdict. */
export function Letter({
  approval,
  wide,
  onDecided,
}: {
  approval: ApprovalDetail;
  wide?: boolean;
  onDecided?(): void;
}) {
  const away = useCutOff();
  const { data: me } = useQuery(q.me.me());
  const { data: tool } = useQuery({ ...q.tools.one(approval.tool ?? ""), enabled: !!approval.tool });
  const asked = valueOf(approval.payload);
  const args = isRecord(asked) ? asked : {};
  const [values, setValues] = useState<Arguments>(args);
  const [edit, setEdit] = useState(false);
  const [unread, setUnread] = useState<string[]>([]); // arguments whose typed JSON can't be read
  const decision = useDecision(approval, me?.name);
  const open = decision.stage === "open";
  const may = approval.actions.some((a) => a.verb === "approve" && a.allowed);
  const editable =
    approval.kind === "tool" &&
    open &&
    may &&
    approval.takes.includes("arguments") &&
    !approval.change_refused &&
    isRecord(asked);
  const changed = JSON.stringify(values) !== JSON.stringify(args);
  useKeys({ e: () => editable && setEdit(true) });
  useEffect(() => {
    if (decision.stage !== "counted" || !onDecided) return;
    const timer = setTimeout(onDecided, 1500);
    return () => clearTimeout(timer);
  }, [decision.stage]);
  const takeBack = () => {
    setValues(args);
    setUnread([]);
    setEdit(false);
  };
  return (
    <article className={classes.letter} data-wide={wide || undefined} aria-label={approval.title}>
      <Head approval={approval} tool={tool} />
      <section className={classes.part}>
        <h3>
          {approval.tool ? (
            <>
              The call <span className={classes.tool}>{approval.tool}</span>
            </>
          ) : (
            "What it is about"
          )}
          {editable && (
            <Button
              look="quiet"
              small
              icon={edit ? <RotateCcw size={13} aria-hidden /> : <Pencil size={13} aria-hidden />}
              onClick={() => (edit ? takeBack() : setEdit(true))}
              keys={edit ? undefined : "E"}
            >
              {edit ? "Keep as asked" : "Edit"}
            </Button>
          )}
        </h3>
        {!approval.payloads_visible ? (
          <Hidden />
        ) : approval.tool && isRecord(asked) ? (
          <Call
            asked={args}
            values={values}
            properties={propertiesOf(approval.input_schema ?? tool?.input_schema)}
            authored={approval.authored ?? []}
            previous={approval.previous?.arguments ?? undefined}
            edit={edit && open}
            faults={decision.faults.arguments}
            onChange={setValues}
            onUnread={(name, broken) =>
              setUnread((old) => [...old.filter((x) => x !== name), ...(broken ? [name] : [])])
            }
          />
        ) : (
          <Shown value={asked} />
        )}
      </section>
      <Previous approval={approval} />
      {approval.prose && <Prose prose={approval.prose} />}
      {!!approval.looked_at?.length && <LookedAt items={approval.looked_at} />}
      {approval.reason && (
        <section className={classes.part} data-narrow={wide || undefined}>
          <h3>Why you are asked</h3>
          <p className={classes.why}>{approval.reason}</p>
        </section>
      )}
      <Decide
        approval={approval}
        decision={decision}
        me={me?.name}
        changed={changed ? values : undefined}
        unread={unread}
        away={away}
      />
    </article>
  );
}
