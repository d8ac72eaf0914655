import { Users } from "lucide-react";
import type { ApprovalDetail } from "../../api/client";
import { moment } from "../../format";
import { Button } from "../Button";
import { Text } from "../Text";
import classes from "./Letter.module.css";
import { labelOf, own, shown, type Arguments, type Property } from "./schema";

type Proposal = ApprovalDetail["proposals"][number];

function Differences({
  proposal,
  requested,
  properties,
}: {
  proposal: Proposal;
  requested: Arguments;
  properties: Props["properties"];
}) {
  const proposed = proposal.arguments ?? {};
  const names = [...new Set([...Object.keys(requested), ...Object.keys(proposed)])].filter(
    (n) => JSON.stringify(own(requested, n)) !== JSON.stringify(own(proposed, n)),
  );
  return names.map((n) => {
    const p = own(properties, n);
    return (
      <span key={n} className={classes.delta}>
        <Text>{labelOf(n, p)}</Text>: <Text>{shown(p, own(requested, n))}</Text> →{" "}
        <b>
          <Text>{shown(p, own(proposed, n))}</Text>
        </b>
      </span>
    );
  });
}
interface Props {
  approval: ApprovalDetail;
  requested: Arguments;
  properties: Record<string, Property>;
  me: string | undefined;
  /** Use these arguments for the approval. */
  onTake?(values: Arguments): void;
}
/** Changed arguments proposed by approvers: under this rule a change needs two people. */
export function Proposed({ approval, requested, properties, me, onTake }: Props) {
  if (!approval.proposals.length) return null;
  return (
    <section className={classes.part}>
      <h3>
        <Users size={13} aria-hidden /> Proposed changes: each needs a second approver
      </h3>
      <ul className={classes.proposed}>
        {approval.proposals.map((p) => (
          <li key={p.command_id}>
            <p>
              <b>
                <Text>{p.principal === me ? "You" : p.principal}</Text>
              </b>{" "}
              <span className="muted">{moment(p.created_at)}</span>
              {p.comment && (
                <>
                  {" "}
                  <q>
                    <Text>{p.comment}</Text>
                  </q>
                </>
              )}
            </p>
            <Differences proposal={p} requested={requested} properties={properties} />
            {p.principal !== me && p.arguments && onTake && (
              <Button small onClick={() => onTake(p.arguments as Arguments)}>
                Use this change
              </Button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
