import { useQuery } from "@tanstack/react-query";
import { Wrench } from "lucide-react";
import { ApiError, type ToolDetail } from "../../api/client";
import * as q from "../../api/queries";
import { RiskMark } from "../../status";
import { Json } from "../Json";
import { timeOf } from "../rules";
import { Blank, Failed, Skeleton } from "../States";
import { Text } from "../Text";
import { KillSwitch } from "./KillSwitch";
import classes from "./Panel.module.css";
import { Rule } from "./Rule";
import { Trouble, useTrouble } from "./Servers";
import { Used } from "./Used";

function Facts({ tool }: { tool: ToolDetail }) {
  return (
    <section>
      <h3>How it runs</h3>
      <dl>
        <dt>Risk</dt>
        <dd>
          <RiskMark risk={tool.risk} />
        </dd>
        {tool.reach.length > 0 && (
          <>
            <dt>Reach</dt>
            <dd>
              <Text>{tool.reach.join(" · ")}</Text>
            </dd>
          </>
        )}
        <dt>Can be undone</dt>
        <dd>{tool.undoable === null ? "unknown" : tool.undoable ? "yes" : "no"}</dd>
        <dt>Worker</dt>
        <dd>
          {tool.served === null ? "unknown" : tool.served ? `on ${tool.task_queue}` : `none on ${tool.task_queue}`}
        </dd>
        <dt>Timeout</dt>
        <dd>{timeOf(tool.timeout_seconds)}</dd>
        <dt>Attempts</dt>
        <dd>{tool.retries + 1}</dd>
        <dt>Idempotent</dt>
        <dd>{tool.idempotent ? "yes" : "no"}</dd>
        {tool.tags.length > 0 && (
          <>
            <dt>Tags</dt>
            <dd>
              <Text>{tool.tags.join(", ")}</Text>
            </dd>
          </>
        )}
        <dt>Version</dt>
        <dd className="mono">{tool.version}</dd>
      </dl>
    </section>
  );
}
/** One tool: its switch, its rule as a sentence with earlier versions, how it runs, and its schemas. */
export function Panel({ name }: { name: string }) {
  const { data: tool, error, refetch } = useQuery(q.tools.one(name));
  const trouble = useTrouble(name);
  if (error instanceof ApiError && error.status === 404)
    return (
      <Blank icon={<Wrench size={20} />} title="Tool not found">
        <p>It isn’t registered here, or has a different name.</p>
      </Blank>
    );
  if (error && !tool) return <Failed error={error} reset={() => void refetch()} />;
  if (!tool) return <Skeleton rows={8} />;
  return (
    <div className={classes.panel}>
      <header>
        <h2>
          <Text>{tool.title}</Text>
        </h2>
        <code className="cut">{tool.name}</code>
      </header>
      <p className={classes.desc}>
        <Text>{tool.description}</Text>
      </p>
      {trouble && <Trouble server={trouble} />}
      <KillSwitch key={`switch-${name}`} tool={tool} />
      <Rule key={`rule-${name}`} tool={tool} />
      <Used tool={tool} />
      <Facts tool={tool} />
      <details>
        <summary>Input schema</summary>
        <Json value={tool.input_schema} />
      </details>
      {tool.output_schema && (
        <details>
          <summary>Output schema</summary>
          <Json value={tool.output_schema} />
        </details>
      )}
    </div>
  );
}
