import { useQuery } from "@tanstack/react-query";
import * as q from "../../api/queries";
import { DiffLines } from "../Diff";
import { Failed, Skeleton } from "../States";
import classes from "./Facts.module.css";
import { changes } from "./versions";

/** What a version changed from the previous one. */
export function Changed({ workflow, version }: { workflow: string; version: string }) {
  const after = useQuery(q.workflows.version(workflow, version));
  const previous = after.data?.previous;
  const before = useQuery({ ...q.workflows.version(workflow, previous ?? ""), enabled: !!previous });
  const error = after.error ?? before.error;
  if (error) return <Failed error={error} reset={() => void (after.error ? after : before).refetch()} />;
  if (after.data && !previous) return <p className="muted">This is the first version.</p>;
  if (!after.data || !before.data) return <Skeleton rows={3} />;
  const parts = changes(before.data, after.data);
  if (!parts.length) return <p className="muted">Only the code changed; schemas and handlers are the same.</p>;
  return (
    <div className={classes.changed}>
      {parts.map((part) => (
        <section key={part.title}>
          <h3>{part.title}</h3>
          <DiffLines of={part.lines} code />
        </section>
      ))}
    </div>
  );
}
