/** Pages opened in this tab, for the palette. Kept in memory only. */
import type { QueryClient } from "@tanstack/react-query";
import { Bot, Workflow, Wrench } from "lucide-react";
import type { ApprovalDetail, RunDetail } from "../../api/client";
import { words } from "../../format";
import { ofApproval, ofOffer, ofRun, type Hit } from "./hits";

const MOST = 4;
const KEPT = 12;
const NOUNS = { workflows: Workflow, agents: Bot, tools: Wrench } as const;
let visited: string[] = [];

export function visit(path: string) {
  visited = [path, ...visited.filter((p) => p !== path)].slice(0, KEPT);
}
/** Recent pages whose data is still cached, without `here`, the current page. */
export function recent(queries: QueryClient, here: string): Hit[] {
  const hits = visited.filter((path) => path !== here).map((path) => hit(queries, path));
  return hits.filter((h) => h !== undefined).slice(0, MOST);
}
/** The noun and the name in a path; undefined if it has none or can't be decoded. */
function partsOf(path: string): [string, string] | undefined {
  const [, noun, id] = path.split("/");
  try {
    return noun && id ? [noun, decodeURIComponent(id)] : undefined;
  } catch {
    return undefined;
  }
}
function hit(queries: QueryClient, path: string): Hit | undefined {
  const parts = partsOf(path);
  if (!parts) return undefined;
  const [noun, id] = parts;
  const cached = queries.getQueryData([noun, id]);
  if (noun === "runs") return cached ? ofRun(cached as RunDetail) : undefined;
  if (noun === "approvals") return cached ? ofApproval(cached as ApprovalDetail) : undefined;
  if (!Object.hasOwn(NOUNS, noun)) return undefined;
  const { title = words(id) } = (cached as { title?: string } | undefined) ?? {};
  return {
    ...ofOffer({ word: title, Icon: NOUNS[noun as keyof typeof NOUNS], more: noun.slice(0, -1) }),
    key: path,
    to: path,
  };
}
