/** What was open in this tab, for the palette: nothing of it is kept elsewhere. */
import type { QueryClient } from "@tanstack/react-query";
import type { ApprovalDetail, RunDetail } from "../../api/client";
import { words } from "../../format";
import { ofApproval, ofOffer, ofRun, type Hit } from "./hits";
import { Bot, Workflow, Wrench } from "lucide-react";

const MOST = 4;
const KEPT = 12;
const NOUNS = { workflows: Workflow, agents: Bot, tools: Wrench } as const;
let visited: string[] = [];

export function visit(path: string) {
  visited = [path, ...visited.filter((p) => p !== path)].slice(0, KEPT);
}
/** As far as the console still knows what it was. here: the open page, which is left out. */
export function recent(queries: QueryClient, here: string): Hit[] {
  const hits = visited.filter((path) => path !== here).map((path) => hit(queries, path));
  return hits.filter((h) => h !== undefined).slice(0, MOST);
}
function hit(queries: QueryClient, path: string): Hit | undefined {
  const [, noun, id] = path.split("/").map(decodeURIComponent);
  if (!id) return undefined;
  const known = queries.getQueryData([noun, id]);
  if (noun === "runs") return known ? ofRun(known as RunDetail) : undefined;
  if (noun === "approvals") return known ? ofApproval(known as ApprovalDetail) : undefined;
  if (!(noun! in NOUNS)) return undefined;
  const { title = words(id) } = (known as { title?: string } | undefined) ?? {};
  return {
    ...ofOffer({ word: title, Icon: NOUNS[noun as keyof typeof NOUNS], more: noun!.slice(0, -1) }),
    key: path,
    to: path,
  };
}
