import { Link } from "@tanstack/react-router";
import { Sparkles } from "lucide-react";
import type { ApprovalDetail } from "../../api/client";
import { atMoment, span } from "../../format";
import { Text } from "../Text";
import { Why as RuleWords } from "../Why";
import classes from "./Letter.module.css";

/** The last approval of this shape, and how such approvals ended recently. */
export function Previous({ approval }: { approval: ApprovalDetail }) {
  const { previous, same_shape_30d: ended } = approval;
  if (!previous && !ended) return null;
  const counts =
    ended &&
    [
      ended.approved && `${ended.approved} approved`,
      ended.rejected && `${ended.rejected} rejected`,
      ended.expired && `${ended.expired} expired`,
    ]
      .filter(Boolean)
      .join(", ");
  return (
    <p className={classes.last}>
      {previous ? (
        <>
          The{" "}
          <Link to="/approvals/$id" params={{ id: previous.approval_id }} className="link">
            last one like this
          </Link>
          {previous.reference && (
            <>
              , for <Text>{previous.reference}</Text>,
            </>
          )}{" "}
          was {previous.verdict} by <Text>{previous.decided_by ?? "someone"}</Text> {atMoment(previous.decided_at)}.
        </>
      ) : (
        "Nothing like this has been decided before."
      )}
      {counts && ` In 30 days: ${counts}.`}
    </p>
  );
}
const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most).trimEnd()}…` : text);
interface ProseProps {
  prose: NonNullable<ApprovalDetail["prose"]>;
  /** Maximum number of characters, where space is limited. */
  most?: number;
}
/** Text written by a model: always quoted, always marked, always plain text. */
export const Prose = ({ prose, most = Infinity }: ProseProps) => (
  <figure className={classes.prose}>
    <figcaption>
      <Sparkles size={13} aria-hidden />
      Written by the agent, not verified{" "}
      <span>
        <Text>{prose.model ?? "model"}</Text>, turn {prose.turn}
      </span>
    </figcaption>
    <blockquote>
      {cut(prose.text, most)
        .split("\n\n")
        .map((p, i) => (
          <p key={i}>
            <Text>{p}</Text>
          </p>
        ))}
      {prose.truncated && most === Infinity && <p className="muted">The rest is in the run.</p>}
    </blockquote>
  </figure>
);
/** What the agent looked at before it asked for approval. */
export const LookedAt = ({ items }: { items: NonNullable<ApprovalDetail["looked_at"]> }) => (
  <section className={classes.part}>
    <h3>What it looked at first</h3>
    <ul className={classes.looked}>
      {items.map((l) => (
        <li key={l.event_id}>
          <b>
            <Text>{l.title}</Text>
          </b>
          <span>{l.label && <Text>{l.label}</Text>}</span>
          <i className="num">{l.took_ms != null && span(l.took_ms)}</i>
        </li>
      ))}
    </ul>
  </section>
);
/** The rule that requires the approval; on the letter's own page only if the window is too narrow for the side panel. */
export function Why({ approval: { rule, reason, kind }, narrow }: { approval: ApprovalDetail; narrow?: boolean }) {
  if (!rule && !reason) return null;
  return (
    <section className={classes.part} data-narrow={narrow || undefined}>
      <h3>Why this needs approval</h3>
      <p className={classes.why}>
        <RuleWords title={rule && kind !== "explicit" ? rule.title : null} reason={reason} />
      </p>
    </section>
  );
}
