import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Command } from "../api/client";
import * as q from "../api/queries";
import { placeOf, sentenceOf, type Titles, via, why } from "../audit";
import { clock, exact, shortId, span } from "../format";
import classes from "../screens/Audit.module.css";
import { COMMAND } from "../status";
import { visible } from "../unseen";
import { Ident } from "./Bits";
import { Json } from "./Json";
import { Failed, Hidden, Skeleton } from "./States";
import { Text } from "./Text";

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

function Details({ id }: { id: string }) {
  const { data: c, error, refetch } = useQuery(q.commands.one(id));
  const { data: me } = useQuery(q.me.me());
  if (!c) return error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={3} />;
  const facts: [string, string | null | undefined][] = [
    ["When", exact(c.created_at)],
    ["Route", c.route],
    ["From", c.address],
    ["Session", c.session_id],
    ["API key", c.key_id],
    ["Idempotency key", c.idempotency_key],
    ["Delivered", c.delivered_at && exact(c.delivered_at)],
    ["Settled", c.settled_at && exact(c.settled_at)],
  ];
  return (
    <div className={classes.details}>
      <dl>
        {facts.map(
          ([word, value]) =>
            value && (
              <div key={word}>
                <dt>{word}</dt>
                <dd>
                  <Text>{value}</Text>
                </dd>
              </div>
            ),
        )}
      </dl>
      {c.outcome && (
        <section>
          <h3>Outcome</h3>
          <Json value={c.outcome} />
        </section>
      )}
      <section>
        <h3>Request</h3>
        {me?.permissions.includes("read_payloads") ? <Json value={c.body ?? null} /> : <Hidden />}
      </section>
    </div>
  );
}

interface Props {
  command: Command;
  titles: Titles;
  open: boolean;
  onOpen(open: boolean): void;
  onWho(name: string): void;
}
/** One line of the audit log: time, principal, action and reason, target, outcome. It expands to the full record. */
export function CommandRow({ command: c, titles, open, onOpen, onWho }: Props) {
  const { word, Icon, tone } = COMMAND[c.status];
  const place = placeOf(c);
  const reason = why(c);
  return (
    <li data-open={open || undefined}>
      <div className={classes.row}>
        <time dateTime={c.created_at} title={exact(c.created_at)}>
          {clock(c.created_at, true)}
        </time>
        <button
          type="button"
          className="cut"
          onClick={() => onWho(c.principal)}
          title={`Show only ${visible(c.principal)}`}
        >
          <Text>{c.principal}</Text>
        </button>
        <button type="button" className={classes.action} aria-expanded={open} onClick={() => onOpen(!open)}>
          <span className="cut">
            <Text>{sentenceOf(c, titles)}</Text>
          </span>
          {reason && (
            <i className="cut">
              <Text>{reason}</Text>
            </i>
          )}
        </button>
        <span className="cut">
          {place ? (
            <Link to={place.to} className="muted">
              <Text>{place.word}</Text>
            </Link>
          ) : (
            <span className="muted" title={visible(c.target ?? "")}>
              <Text>{c.target && UUID.test(c.target) ? shortId(c.target) : (c.target ?? "")}</Text>
            </span>
          )}
        </span>
        <span className={classes.outcome} data-tone={tone}>
          <Icon size={13} strokeWidth={2.1} aria-hidden />
          {word}
          {c.settled_at && c.delivered_at && <em>{span(Date.parse(c.settled_at) - Date.parse(c.created_at))}</em>}
        </span>
        <span className="muted">{via(c)}</span>
        <Ident id={c.command_id} />
      </div>
      {open && <Details id={c.command_id} />}
    </li>
  );
}
