import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Plug } from "lucide-react";
import * as q from "../../api/queries";
import type { McpServer } from "../../api/queries/mcp_servers";
import { ago, moment, plural } from "../../format";
import { useNow } from "../../live/now";
import type { Search } from "../../router";
import { ServerState } from "../../status";
import table from "../../screens/Tools.module.css";
import { useToolTitle } from "../catalog";
import { lines } from "../agent/diff";
import { DiffLines } from "../Diff";
import { Side } from "../Side";
import { Blank, Failed, Skeleton } from "../States";
import panel from "./Panel.module.css";
import classes from "./Servers.module.css";
import { Text } from "../Text";

/** The MCP server of a tool, if its tools can't be used now. */
export function useTrouble(tool: string) {
  const { data } = useQuery(q.mcpServers.list());
  return data?.items.find((s) => s.state !== "ready" && s.tools.includes(tool));
}
/** Two grids may each have a server with the same name. */
const keyOf = (s: McpServer) => `${s.grid}/${s.task_queue}/${s.name}`;
const toServer = (s: McpServer) => (old: Search) => ({ ...old, view: "mcp", target: keyOf(s) });

/** In a tool's panel: why its calls fail, with a link to the changes. */
export function Trouble({ server }: { server: McpServer }) {
  return (
    <p className={classes.trouble} role="status">
      <ServerState state={server.state} />
      <span>
        {server.state === "held"
          ? "Its MCP server’s listing differs from the reviewed one. Every call fails until someone reviews it."
          : "No worker can reach its MCP server. Calls are retried, then fail."}{" "}
        <Link to="/tools" search={toServer(server)} className="link">
          {server.state === "held" ? "See what changed" : "See why"}
        </Link>
      </span>
    </p>
  );
}

const Command = ({ children }: { children: string }) => (
  <code className={classes.command}>
    <span aria-hidden>$ </span>
    {children}
  </code>
);
/** What to do in the project, where the listing is a file that is reviewed like code. */
function Next({ server: s }: { server: McpServer }) {
  if (s.state === "ready") return null;
  if (s.state === "unreachable")
    return (
      <section>
        <h3>What to do</h3>
        <p>Check that it starts and responds on the worker’s machine. The worker retries every minute.</p>
        <Command>{`agentgrid mcp diff ${s.name}`}</Command>
      </section>
    );
  return (
    <section>
      <h3>What to do</h3>
      <p>
        The reviewed listing is a file in the project, <code>mcp/{s.name}.json</code>. The project’s maintainers compare
        it, accept it there, and restart the workers. To refuse it, change nothing: the tools stay held.
      </p>
      <Command>{`agentgrid mcp diff ${s.name}`}</Command>
      <Command>{`agentgrid mcp accept ${s.name}`}</Command>
    </section>
  );
}
function Open({ server: s }: { server: McpServer }) {
  const now = useNow();
  const title = useToolTitle();
  return (
    <div className={panel.panel}>
      <header>
        <h2>
          <Text>{s.name}</Text>
        </h2>
        <code className="cut">
          <Text>{s.reached_by}</Text>
        </code>
      </header>
      <p className={panel.desc}>
        <ServerState state={s.state} /> <span className="muted">since {moment(s.since, now)}</span>
      </p>
      {s.state === "held" && (
        <p>
          Its listing differs from the reviewed one, so every call of its {plural(s.tools.length, "tool")} fails. Names
          and texts below come from the server.
        </p>
      )}
      {s.state === "unreachable" && (
        <p className={classes.reason}>
          <Text>{s.reason ?? ""}</Text>
        </p>
      )}
      <Next server={s} />
      {s.changes.length > 0 && (
        <section>
          <h3>What changed</h3>
          {s.changes.map((c) => (
            <details key={c.tool} className={classes.change} open={s.changes.length < 4}>
              <summary>
                <code>
                  <Text>{c.tool}</Text>
                </code>{" "}
                {c.what}
              </summary>
              <DiffLines of={lines(c.before ?? "", c.after ?? "")} />
            </details>
          ))}
        </section>
      )}
      <section>
        <h3>Reviewed tools</h3>
        <ul className={classes.tools}>
          {s.tools.map((t) => (
            <li key={t}>
              <Link to="/tools/$name" params={{ name: t }} className="cut">
                <Text>{title(t)}</Text>
              </Link>
            </li>
          ))}
        </ul>
      </section>
      <p className="muted">
        Reported by a worker of {s.grid} on {s.task_queue}, {ago(s.reported_at, now)}.
      </p>
    </div>
  );
}
function Row({ server: s, open }: { server: McpServer; open: boolean }) {
  const now = useNow();
  return (
    <Link to="/tools" search={toServer(s)} className={classes.row} aria-current={open || undefined}>
      <span className="cut">
        <b>
          <Text>{s.name}</Text>
        </b>{" "}
        <code>
          <Text>{s.reached_by}</Text>
        </code>
      </span>
      <ServerState state={s.state} />
      <span className="cut muted">
        {s.state === "held" ? plural(s.changes.length, "tool differs", "tools differ") : plural(s.tools.length, "tool")}
      </span>
      <span className={table.fig}>since {moment(s.since, now)}</span>
    </Link>
  );
}
/** The workers' MCP servers: which are held because they changed, what changed, and what to do. */
export function Servers({ wide }: { wide: boolean }) {
  const url = useSearch({ strict: false }) as Search;
  const go = useNavigate();
  const { data, error, refetch } = useQuery(q.mcpServers.list());
  const at = data?.items.find((s) => keyOf(s) === url.target) ?? (wide ? data?.items[0] : undefined);
  return (
    <>
      <div className={table.list}>
        {error && !data ? (
          <Failed error={error} reset={() => void refetch()} />
        ) : !data ? (
          <Skeleton rows={4} />
        ) : data.items.length ? (
          <ul aria-label="MCP servers" className={classes.list}>
            {data.items.map((s) => (
              <li key={keyOf(s)}>
                <Row server={s} open={s === at} />
              </li>
            ))}
          </ul>
        ) : (
          <Blank
            icon={<Plug size={20} />}
            title="No worker uses an MCP server"
            command="agentgrid mcp add NAME -- COMMAND"
          >
            <p>
              Review a server’s tools and pin them in the project. Its workers then call them under the same rules, and
              hold the server if it changes.
            </p>
          </Blank>
        )}
      </div>
      {at && (
        <Side
          label={at.name}
          picked={!!url.target}
          onClose={() => void go({ to: "/tools", search: (old: Search) => ({ ...old, target: undefined }) })}
        >
          <Open server={at} />
        </Side>
      )}
    </>
  );
}
