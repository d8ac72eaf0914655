import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
} from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Shell } from "./components/Shell";
import { Bar } from "./components/Page";
import { Failed, Missing } from "./components/States";

/** Filters and selections live in the URL, as text: Back restores them, and links share them. */
export type Search = Partial<
  Record<
    | "status"
    | "run_status"
    | "waiting_on"
    | "workflow"
    | "version"
    | "agent"
    | "tool"
    | "tag"
    | "reference"
    | "initiator"
    | "trigger"
    | "parent"
    | "workflow_id"
    | "task_queue"
    | "stuck"
    | "started_after"
    | "started_before"
    | "closed_after"
    | "closed_before"
    | "duration_over"
    | "sort"
    | "q"
    | "step"
    | "execution"
    | "whose"
    | "view"
    | "principal"
    | "kind"
    | "target"
    | "at"
    | "since"
    | "until"
    | "to"
    | "ended"
    | "from",
    string
  >
>;
const search = (params: Record<string, unknown>): Search =>
  Object.fromEntries(
    Object.entries(params)
      .filter(([, v]) => v !== undefined && v !== "")
      .map(([k, v]) => [k, String(v)]),
  );

const NotFound = () => (
  <>
    <Bar crumbs={[{ word: "Not found" }]} />
    <Missing />
  </>
);
const root = createRootRouteWithContext<{ queries: QueryClient }>()({
  component: Outlet,
  notFoundComponent: NotFound,
  validateSearch: search,
});
const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell, notFoundComponent: NotFound });
type Load = () => Promise<{ default: () => ReactNode }>;
const at = <P extends string>(path: P, load: Load) =>
  createRoute({ getParentRoute: () => shell, path, component: lazyRouteComponent(load), errorComponent: Failed });

const routes = [
  at("/", () => import("./screens/Overview")),
  at("/approvals", () => import("./screens/Inbox")),
  at("/approvals/$id", () => import("./screens/Approval")),
  at("/runs", () => import("./screens/Runs")),
  at("/runs/$id", () => import("./screens/Run")),
  at("/workflows", () => import("./screens/Workflow")),
  at("/workflows/$name", () => import("./screens/Workflow")),
  at("/agents", () => import("./screens/Agent")),
  at("/agents/$name", () => import("./screens/Agent")),
  at("/tools", () => import("./screens/Tools")),
  at("/tools/$name", () => import("./screens/Tools")),
  at("/workers", () => import("./screens/Workers")),
  at("/audit", () => import("./screens/Audit")),
  at("/settings", () => import("./screens/Settings")),
] as const;
const rest = createRoute({ getParentRoute: () => shell, path: "$", component: NotFound });
const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  component: lazyRouteComponent(() => import("./screens/SignIn")),
});

export const makeRouter = (queries: QueryClient) =>
  createRouter({
    routeTree: root.addChildren([shell.addChildren([...routes, rest]), signIn]),
    context: { queries },
    scrollRestoration: true,
    defaultPreload: "intent",
  });

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
