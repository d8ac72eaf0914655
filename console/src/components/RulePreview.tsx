import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import * as q from "../api/queries";
import type { Preview, Subject } from "../api/queries/policies";
import { moment, plural, sentence } from "../format";
import { useNow } from "../live/now";
import { Button } from "./Button";
import { useToolTitle } from "./catalog";
import classes from "./Form.module.css";
import { contentOf, ruleWord, type RuleDraft } from "./rules";
import { Text } from "./Text";

const TYPING = 400; // ms
const SHOWN = 6;

function Changes({ preview }: { preview: Preview }) {
  const title = useToolTitle();
  const more = preview.total - SHOWN;
  return (
    <>
      <ul>
        {preview.changes.slice(0, SHOWN).map((c) => (
          <li key={c.tool}>
            <Text>{title(c.tool)}</Text>:{" "}
            <del>
              <Text>{ruleWord(c.before)}</Text>
            </del>{" "}
            <b>
              <Text>{ruleWord(c.after)}</Text>
            </b>
          </li>
        ))}
        {more > 0 && <li>and {plural(more, "other tool")}</li>}
      </ul>
      <p>
        It applies to new calls within seconds, in open runs too.
        {preview.asked_again > 0 &&
          ` ${plural(preview.asked_again, "pending approval was", "pending approvals were")} opened under the old rule: once decided, ${preview.asked_again === 1 ? "its call is" : "their calls are"} checked against this one.`}
        {preview.relaxes.length > 0 &&
          " It relaxes the rule: a second administrator, if there is one, must confirm it."}
      </p>
    </>
  );
}
/** What the rule being edited would change, before it is saved. */
export function RulePreview({ subject, draft }: { subject: Subject; draft: RuleDraft }) {
  const [typed] = useDebouncedValue(contentOf(draft), TYPING);
  const { data, error } = useQuery(q.policies.preview(subject, typed));
  return (
    <section className={classes.preview} aria-live="polite" aria-label="What it would change">
      <h3>What it would change</h3>
      {error ? (
        <p>Complete the fields to see a preview.</p>
      ) : !data ? (
        <p>…</p>
      ) : data.total ? (
        <Changes preview={data} />
      ) : (
        <p>Nothing: calls are treated as before.</p>
      )}
    </section>
  );
}
/** Shown if someone else changed the rule meanwhile, with a button to overwrite it. What was typed is kept. */
export function Newer({ subject, onKeep }: { subject: Subject; onKeep(): void }) {
  const now = useNow();
  const { data: rule } = useQuery(q.policies.one(q.policies.ruleId(subject)));
  return (
    <div className={classes.newer} role="alert">
      <p>
        {rule ? (
          <>
            <b>
              <Text>{rule.created_by}</Text>
            </b>{" "}
            changed this rule, {moment(rule.created_at, now)}: <b>{rule.withdrawn ? "withdrawn" : ruleWord(rule)}</b>.{" "}
            {rule.reason && (
              <>
                <Text>{sentence(rule.reason)}</Text>.{" "}
              </>
            )}
          </>
        ) : (
          "Someone else changed this rule. "
        )}
        Your change wasn’t saved; what you typed is kept.
      </p>
      <Button small onClick={onKeep}>
        Continue with mine
      </Button>
    </div>
  );
}
