import { Fragment } from "react";
import type { ToolDetail } from "../../api/client";
import { ago, count, plural, span } from "../../format";
import { useNow } from "../../live/now";

const callsOf = ({ calls, failed, p95_seconds }: ToolDetail["last_24h"]) =>
  [
    plural(calls, "call"),
    failed && `${count(failed)} failed`,
    p95_seconds !== null && `p95 ${span(p95_seconds * 1000)}`,
  ]
    .filter(Boolean)
    .join(", ");
/** How often it is called, and in which versions. */
export function Used({ tool }: { tool: ToolDetail }) {
  const now = useNow();
  return (
    <section>
      <h3>
        Usage <span>in runs you can see</span>
      </h3>
      <dl>
        <dt>24 hours</dt>
        <dd>{callsOf(tool.last_24h)}</dd>
        <dt>7 days</dt>
        <dd>{callsOf(tool.last_7d)}</dd>
        {tool.versions.map((v) => (
          <Fragment key={v.version}>
            <dt>
              <code>{v.version}</code>
            </dt>
            <dd>
              {plural(v.calls, "call")}, last {ago(v.last_called_at, now)}
            </dd>
          </Fragment>
        ))}
      </dl>
    </section>
  );
}
