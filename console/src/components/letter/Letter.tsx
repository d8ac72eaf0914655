import { useQuery } from "@tanstack/react-query";
import { Pencil, RotateCcw } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { ApprovalDetail } from "../../api/client";
import * as q from "../../api/queries";
import { useKeys } from "../../live/keys";
import { visible } from "../../unseen";
import { Button } from "../Button";
import { Hidden, useCutOff } from "../States";
import { Text } from "../Text";
import { Call } from "./Call";
import { LookedAt, Previous, Prose, Why } from "./Context";
import { Decide } from "./Decide";
import { Head } from "./Head";
import classes from "./Letter.module.css";
import { Proposed } from "./Proposed";
import { labelOf, own, propertiesOf, type Arguments } from "./schema";
import { argumentsOf, Subject } from "./Subject";
import { useDecision } from "./useDecision";

const READ = 1_500; // milliseconds to read that the decision was counted
const READ_WHO = 4_000; // milliseconds to read who decided instead
const EMPTY: Arguments = {};

interface Props {
  approval: ApprovalDetail;
  /** On its own page, with the rule beside it. */
  wide?: boolean;
  /** It replaces another letter. */
  follows?: boolean;
  /** Called once it is decided, here or elsewhere, and there was time to read the outcome. */
  onDecided?(): void;
}
/** An approval as a letter: who asks for what, the call itself, why it needs approval, the verdict. */
export function Letter({ approval, wide, follows, onDecided }: Props) {
  const away = useCutOff();
  const { data: me } = useQuery(q.me.me());
  const requested = argumentsOf(approval);
  const args = requested ?? EMPTY;
  const [edited, setEdited] = useState<Arguments>();
  const values = edited ?? argumentsOf({ ...approval, payload: approval.changed }) ?? args;
  const [edit, setEdit] = useState(false);
  const [unread, setUnread] = useState<string[]>([]); // arguments whose typed value can't be read
  const decision = useDecision(approval, me?.name);
  const { stage } = decision;
  const open = stage === "open";
  const may = approval.actions.some((a) => a.verb === "approve" && a.allowed);
  const editable =
    approval.kind === "tool" &&
    open &&
    may &&
    approval.takes.includes("arguments") &&
    !approval.change_refused &&
    !!requested;
  const changed = !!edited && JSON.stringify(edited) !== JSON.stringify(args);
  const properties = propertiesOf(approval.input_schema);
  useKeys({ e: () => editable && setEdit(true) });
  const waited = useRef(approval.status === "pending");
  const next = useRef(onDecided);
  next.current = onDecided;
  useEffect(() => {
    if (!waited.current || (stage !== "counted" && stage !== "elsewhere")) return;
    const timer = setTimeout(() => next.current?.(), stage === "counted" ? READ : READ_WHO);
    return () => clearTimeout(timer);
  }, [stage]);
  const take = (next: Arguments | undefined) => {
    setEdited(next);
    setUnread([]);
    setEdit(false);
  };
  return (
    <article className={classes.letter} data-wide={wide || undefined} aria-label={visible(approval.title)}>
      <Head approval={approval} focus={follows} />
      <section className={classes.part}>
        <h3>
          {approval.tool ? (
            <>
              The call{" "}
              <span className={classes.tool}>
                <Text>{approval.tool}</Text>
              </span>
            </>
          ) : (
            "What needs approval"
          )}
          {editable && (
            <Button
              look="quiet"
              small
              icon={edit || changed ? <RotateCcw size={13} aria-hidden /> : <Pencil size={13} aria-hidden />}
              onClick={() => (edit || changed ? take(undefined) : setEdit(true))}
              keys={edit || changed ? undefined : "E"}
            >
              {edit || changed ? "Discard changes" : "Edit"}
            </Button>
          )}
        </h3>
        {!approval.payloads_visible ? (
          <Hidden />
        ) : approval.tool && requested ? (
          <Call
            requested={args}
            values={values}
            properties={properties}
            authored={approval.authored ?? []}
            previous={approval.previous?.arguments ?? undefined}
            edit={edit && open}
            faults={decision.faults.arguments}
            onChange={setEdited}
            onUnread={(name, broken) =>
              setUnread((old) => [...old.filter((x) => x !== name), ...(broken ? [name] : [])])
            }
          />
        ) : (
          <Subject payload={approval.payload} />
        )}
        {approval.change_refused && (
          <p className={classes.need}>
            The worker refused changed arguments, so the original call needs approval again:{" "}
            <Text>{approval.change_refused}</Text>
          </p>
        )}
      </section>
      <Proposed
        approval={approval}
        requested={args}
        properties={properties}
        me={me?.name}
        onTake={editable ? take : undefined}
      />
      <Previous approval={approval} />
      {approval.prose && <Prose prose={approval.prose} />}
      {!!approval.looked_at?.length && <LookedAt items={approval.looked_at} />}
      <Why approval={approval} narrow={wide} />
      <Decide
        approval={approval}
        decision={decision}
        me={me?.name}
        changed={changed ? values : undefined}
        unread={unread.map((name) => labelOf(name, own(properties, name)))}
        away={away}
      />
    </article>
  );
}
