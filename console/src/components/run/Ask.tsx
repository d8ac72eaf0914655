import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ApprovalDetail } from "../../api/client";
import * as q from "../../api/queries";
import { VerdictWord } from "../../status";
import { Expiry } from "../Bits";
import { Call } from "../letter/Call";
import { Prose } from "../letter/Context";
import { Decide } from "../letter/Decide";
import { propertiesOf } from "../letter/schema";
import { argumentsOf, Subject } from "../letter/Subject";
import { useDecision } from "../letter/useDecision";
import { Failed, Hidden, Skeleton, useCutOff } from "../States";
import { Text } from "../Text";
import classes from "./Ask.module.css";

const PROSE = 280; // characters of text written by a model

function What({ approval: a }: { approval: ApprovalDetail }) {
  if (!a.payloads_visible) return <Hidden />;
  const args = argumentsOf(a);
  if (!a.tool || !args) return <Subject payload={a.payload} />;
  return (
    <Call
      requested={args}
      values={args}
      properties={propertiesOf(a.input_schema)}
      authored={a.authored ?? []}
      previous={a.previous?.arguments ?? undefined}
      edit={false}
      faults={{}}
    />
  );
}
function Card({ approval: a }: { approval: ApprovalDetail }) {
  const { data: me } = useQuery(q.me.me());
  const away = useCutOff();
  const decision = useDecision(a, me?.name);
  const may = a.actions.some((action) => action.verb === "approve" && action.allowed);
  return (
    <section className={classes.ask} data-open={a.status === "pending" || undefined} aria-label="Approval">
      <header>
        <VerdictWord status={a.status} />
        {a.status === "pending" && a.expires_at && <Expiry from={a.opened_at} until={a.expires_at} />}
      </header>
      <h3>
        <Text>{a.title}</Text>
      </h3>
      <What approval={a} />
      {a.prose && <Prose prose={a.prose} most={PROSE} />}
      <Decide approval={a} decision={decision} me={me?.name} away={away} inRun />
      <Link to="/approvals/$id" params={{ id: a.approval_id }} className="link">
        Open the full approval{may && a.takes.includes("arguments") && a.status === "pending" && ", or edit it"}
      </Link>
    </section>
  );
}
/** The run's approval, on the run's page: the request and the verdict. */
export function Ask({ approval_id }: { approval_id: string }) {
  const { data, error, refetch } = useQuery(q.approvals.one(approval_id));
  if (data) return <Card approval={data} />;
  return error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={4} />;
}
