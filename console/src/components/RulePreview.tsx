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

function Changes({ found }: { found: Preview }) {
  const title = useToolTitle();
  const more = found.total - SHOWN;
  return (
    <>
      <ul>
        {found.changes.slice(0, SHOWN).map((c) => (
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
        It holds within seconds, for the next call, in open runs too.
        {found.asked_again > 0 &&
          ` ${plural(found.asked_again, "pending approval is", "pending approvals are")} under the rule that goes: once decided, ${found.asked_again === 1 ? "its call is" : "their calls are"} judged again by this one.`}
        {found.relaxes.length > 0 &&
          " It asks for less than before: a second administrator must confirm it, if there is one."}
      </p>
    </>
  );
}
/** What the rule that is being typed would change, before it is put. */
export function RulePreview({ subject, draft }: { subject: Subject; draft: RuleDraft }) {
  const [typed] = useDebouncedValue(contentOf(draft), TYPING);
  const { data, error } = useQuery(q.policies.preview(subject, typed));
  return (
    <section className={classes.preview} aria-live="polite" aria-label="What it would change">
      <h3>What it would change</h3>
      {error ? (
        <p>It can be seen once what is typed is complete.</p>
      ) : !data ? (
        <p>…</p>
      ) : data.total ? (
        <Changes found={data} />
      ) : (
        <p>Nothing: calls meet the same as now.</p>
      )}
    </section>
  );
}
/** The rule that somebody put meanwhile, and the way to put one's own over it. What was typed is kept. */
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
          "Somebody changed this rule meanwhile. "
        )}
        Nothing was put. What you typed is kept.
      </p>
      <Button small onClick={onKeep}>
        Go on with mine
      </Button>
    </div>
  );
}
