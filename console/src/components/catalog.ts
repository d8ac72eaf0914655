/** Titles of workflows, agents and tools by name, from the catalogs, which every page has loaded already. */
import { useQuery } from "@tanstack/react-query";
import * as q from "../api/queries";
import { words } from "../format";

interface Named {
  name: string;
  title: string;
}
const by = (items: Named[] | undefined) => {
  const titles = new Map(items?.map((i) => [i.name, i.title]));
  return (name: string | null | undefined) => (name ? (titles.get(name) ?? words(name)) : "");
};
export const useWorkflowTitle = () => by(useQuery(q.workflows.list()).data?.items);
export const useAgentTitle = () => by(useQuery(q.agents.list()).data?.items);
export const useToolTitle = () => by(useQuery(q.tools.list()).data?.items);
