/** The steps of a run for the timeline and the graph, with the groups that were expanded. */
import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Timeline } from "../../api/client";
import * as q from "../../api/queries";
import { toNodes, type Node } from "../timeline/model";
import { groupKey, type Folded } from "../timeline/rows";

export const VIEWS = { all: "All steps", failed: "Failed attempts", open: "Open" } as const;
export type View = keyof typeof VIEWS;

/** The matching steps with their ancestors. */
function matching(nodes: Node[], view: View): Node[] {
  if (view === "all") return nodes;
  const keys = new Set(
    nodes
      .filter((n) => (view === "failed" ? n.status === "failed" || n.attempts > 1 : n.to === undefined))
      .map((n) => n.key),
  );
  const byKey = new Map(nodes.map((n) => [n.key, n]));
  for (const key of Array.from(keys))
    for (let n = byKey.get(key); n?.parent; n = byKey.get(n.parent)) keys.add(n.parent);
  return nodes.filter((n) => keys.has(n.key));
}
const NOTHING: Folded = { groups: [], inside: new Map() };

export function useSteps(run_id: string, execution: string | undefined, running: boolean) {
  const [view, setView] = useState<View>("all");
  const [opened, setOpened] = useState<string[]>([]);
  const { data: timeline, error } = useQuery(q.runs.timeline(run_id, execution));
  const groups = timeline?.groups ?? [];
  const open = groups.filter((g) => opened.includes(groupKey(g)));
  const parts = useQueries({
    queries: open.map((g) => q.runs.unfolded(run_id, g)),
    combine: (results) => results.map((r) => r.data),
  });
  const folded = useMemo(
    (): Folded => ({
      groups,
      inside: new Map(open.map((g, i) => [groupKey(g), toNodes(parts[i]?.steps ?? [])])),
    }),
    [timeline, opened, parts],
  );
  const nodes = useMemo(() => toNodes(timeline?.steps ?? []), [timeline?.steps]);
  const all = useMemo(() => matching(nodes, view), [nodes, view]);
  const steps: Timeline["steps"] = useMemo(
    () => [...(timeline?.steps ?? []), ...parts.flatMap((p) => p?.steps ?? [])],
    [timeline?.steps, parts],
  );
  return {
    timeline,
    error,
    steps,
    nodes: all,
    folded: view === "all" ? folded : NOTHING,
    usual: running && view === "all" ? timeline?.usual_next : undefined,
    view,
    setView,
    unfold: (key: string) => setOpened((old) => (old.includes(key) ? old : [...old, key])),
  };
}
