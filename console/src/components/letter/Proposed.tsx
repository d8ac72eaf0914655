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
  asked,
  properties,
}: {
  proposal: Proposal;
  asked: Arguments;
  properties: Props["properties"];
}) {
  const given = proposal.arguments ?? {};
  const names = [...new Set([...Object.keys(asked), ...Object.keys(given)])].filter(
    (n) => JSON.stringify(own(asked, n)) !== JSON.stringify(own(given, n)),
  );
  return names.map((n) => {
    const p = own(properties, n);
    return (
      <span key={n} className={classes.delta}>
        <Text>{labelOf(n, p)}</Text>: <Text>{shown(p, own(asked, n))}</Text> →{" "}
        <b>
          <Text>{shown(p, own(given, n))}</Text>
        </b>
      </span>
    );
  });
}
interface Props {
  approval: ApprovalDetail;
  asked: Arguments;
  properties: Record<string, Property>;
  me: string | undefined;
  /** Make these the arguments to approve. */
  onTake?(values: Arguments): void;
}
/** Changed arguments that approvers have proposed: under this rule a change takes two people. */
export function Proposed({ approval, asked, properties, me, onTake }: Props) {
  if (!approval.proposals.length) return null;
  return (
    <section className={classes.part}>
      <h3>
        <Users size={13} aria-hidden /> Proposed changes: each takes a second approver
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
            <Differences proposal={p} asked={asked} properties={properties} />
            {p.principal !== me && p.arguments && onTake && (
              <Button small onClick={() => onTake(p.arguments as Arguments)}>
                Take this change
              </Button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
