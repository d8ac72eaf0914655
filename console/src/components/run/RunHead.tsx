import { Menu } from "@mantine/core";
import { Info } from "lucide-react";
import type { RunDetail } from "../../api/client";
import { moment, sentence, span, tokens, usd } from "../../format";
import { useNow } from "../../live/now";
import { StatusIcon, statusOf } from "../../status";
import { Ident } from "../Bits";
import { Chain } from "./Chain";
import classes from "./RunHead.module.css";
import { stateOf } from "./sentence";
import { Text } from "../Text";

const SECOND = 1000;
const MOSTLY = 0.8; // share of working time above which it isn't mentioned

/** Whether the user can act on what the run waits for. */
function You({ run }: { run: RunDetail }) {
  const { you } = run.next;
  if (you.may_act) return <> You can {you.verbs.includes("resume") ? "resume it" : "decide"}.</>;
  return run.closed_at || !you.reason ? null : <> {sentence(you.reason)}.</>;
}
function Details({ run }: { run: RunDetail }) {
  return (
    <Menu position="bottom-start" width={340}>
      <Menu.Target>
        <button type="button" className={classes.details}>
          <Info size={13} aria-hidden />
          Details
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <dl className={classes.dl}>
          <dt>Run</dt>
          <dd>
            <Ident id={run.run_id} />
          </dd>
          <dt>Version</dt>
          <dd>{run.version ? <Ident id={run.version} show={run.version.slice(0, 8)} /> : "unknown"}</dd>
          <dt>Queue</dt>
          <dd>{run.task_queue}</dd>
          <dt>Started by</dt>
          <dd>
            {run.initiator}, via {run.trigger}
          </dd>
          {run.tags.length > 0 && (
            <>
              <dt>Tags</dt>
              <dd>
                <Text>{run.tags.join(", ")}</Text>
              </dd>
            </>
          )}
          {run.note && (
            <>
              <dt>Note</dt>
              <dd>
                <Text>{run.note}</Text>
              </dd>
            </>
          )}
          <dt>Namespace</dt>
          <dd>{run.namespace}</dd>
        </dl>
      </Menu.Dropdown>
    </Menu>
  );
}

interface Props {
  run: RunDetail;
  /** Seconds. */
  working: number | undefined;
  /** The execution to show on its own. */
  only?: string;
  onOnly(execution: string | undefined): void;
}
/** The state as one sentence, then when, how long, by whom and at what cost. */
export function RunHead({ run, working, only, onOnly }: Props) {
  const now = useNow();
  const end = run.closed_at ? Date.parse(run.closed_at) : now;
  const used = run.usage;
  const all = Math.max(0, end - Date.parse(run.created_at));
  return (
    <div className={classes.head}>
      <p className={classes.sentence} role="status">
        <StatusIcon status={statusOf(run)} size={17} />
        <span>
          <b>
            <Text>{stateOf(run)}</Text>
          </b>
          {!run.closed_at && run.next.until && <>, until {moment(run.next.until, now)}</>}.
          <span className="muted">
            <You run={run} />
          </span>
        </span>
      </p>
      <p className={classes.facts}>
        <span>
          Started <b>{moment(run.created_at, now, true)}</b> by <b>{run.initiator}</b>
        </span>
        <span>
          <b className="num">{span(all)}</b>
          {working !== undefined && working * SECOND < all * MOSTLY && <>, active for {span(working * SECOND)}</>}
        </span>
        {used && used.requests > 0 && (
          <>
            <span>
              <b>{tokens(used.input_tokens + used.output_tokens)}</b> tokens
            </span>
            {used.usd !== 0 && (
              <span>
                <b>{used.usd != null ? usd(used.usd, 2) : "unpriced"}</b>
              </span>
            )}
          </>
        )}
        <Chain run={run} only={only} onOnly={onOnly} />
        <Details run={run} />
      </p>
    </div>
  );
}
