import type { Me } from "../../api/client";
import { brief, moment } from "../../format";
import { useNow } from "../../live/now";
import { Ident } from "../Bits";
import { Section } from "../Page";
import classes from "./Settings.module.css";
import { Sessions } from "./Sessions";
import { Text } from "../Text";

type Permission = Me["permissions"][number];

const MAY: Record<Permission, string> = {
  read: "see runs and the catalog",
  read_payloads: "read payloads",
  start: "start runs",
  control: "cancel, pause and message runs",
  decide: "decide approvals",
  audit: "see the whole audit log",
  edit: "edit agents",
  govern: "change rules and switches",
  administer: "manage principals and keys",
};

/** The user's identity, permissions and sessions. */
export function You({ me }: { me: Me }) {
  const now = useNow();
  const { installation: place } = me;
  return (
    <>
      <Section title="You" note={me.kind}>
        <dl className={classes.facts}>
          <dt>Name</dt>
          <dd>
            <b>
              <Text>{me.name}</Text>
            </b>
          </dd>
          <dt>Roles</dt>
          <dd>{me.roles.join(", ") || "none"}</dd>
          <dt>Groups</dt>
          <dd>
            <Text>{me.groups.join(", ") || "none"}</Text>
          </dd>
          <dt>You can</dt>
          <dd>
            {Object.entries(MAY)
              .filter(([p]) => me.permissions.includes(p as Permission))
              .map(([, words]) => words)
              .join(", ") || "nothing"}
          </dd>
          <dt>Workflows</dt>
          <dd>
            {me.workflows.includes("*") ? (
              "all"
            ) : (
              <code>
                <Text>{me.workflows.join(", ") || "none"}</Text>
              </code>
            )}
          </dd>
          <dt>API key</dt>
          <dd>
            <Ident id={me.key_id} show={me.key_id} />
            <span className="muted"> expires {moment(me.key_expires_at, now)}</span>
          </dd>
          {me.session && (
            <>
              <dt>Session</dt>
              <dd>
                since {moment(me.session.opened_at, now)}
                <span className="muted">, expires {moment(me.session.expires_at, now)} unless used before then</span>
              </dd>
            </>
          )}
        </dl>
      </Section>
      <Sessions principal={me.name} />
      <Section title="This installation" note={place.name}>
        <dl className={classes.facts}>
          <dt>Version</dt>
          <dd>{place.version}</dd>
          <dt>Namespace</dt>
          <dd>{place.namespace}</dd>
          {place.retention_seconds != null && (
            <>
              <dt>Histories</dt>
              <dd>kept by Temporal for {brief(place.retention_seconds * 1000)} after a run ends</dd>
            </>
          )}
          {place.temporal_ui_url && (
            <>
              <dt>Temporal</dt>
              <dd>
                <a href={place.temporal_ui_url} target="_blank" rel="noreferrer" className="link">
                  Open Temporal’s UI
                </a>
              </dd>
            </>
          )}
        </dl>
      </Section>
    </>
  );
}
