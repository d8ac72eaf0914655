/** The typed client. Every change names the principal that the page shows, so that a session that became another's changes nothing. */
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type Me = Schemas["Me"];
export type Overview = Schemas["Overview"];
export type Run = Schemas["RunRow"];
export type RunDetail = Schemas["RunDetail"];
export type Step = Schemas["StepOut"];
export type Timeline = Schemas["Timeline"];
export type TimelineStep = Schemas["TimelineStep"];
export type StepGroup = Schemas["StepGroup"];
export type UsualStep = Schemas["UsualStep"];
export type Job = Schemas["JobOut"];
export type Log = Schemas["LogOut"];
export type Approval = Schemas["ApprovalRow"];
export type ApprovalDetail = Schemas["ApprovalLetter"];
export type Workflow = Schemas["WorkflowSummary"];
export type WorkflowDetail = Schemas["WorkflowDetail"];
export type WorkflowFigures = Schemas["WorkflowFigures"];
export type Tool = Schemas["ToolSummary"];
export type ToolDetail = Schemas["ToolDetail"];
export type Agent = Schemas["AgentSummary"];
export type AgentDetail = Schemas["AgentDetail"];
export type Policy = Schemas["PolicySummary"];
export type Command = Schemas["CommandSummary"];
export type View = Schemas["ViewOut"];
export type Problem = Schemas["Problem"];
export type Risk = Schemas["Risk"];

const CHANGES = new Set(["POST", "PUT", "PATCH", "DELETE"]);
let shown: string | undefined;
/** The name that the page shows as the one who acts. */
export const showPrincipal = (name: string | undefined) => {
  shown = name;
};

/** The API refused, with a reason. */
export class ApiError extends Error {
  constructor(
    readonly problem: Problem,
    readonly status: number,
    readonly retryAfter?: number,
  ) {
    super(problem.detail ?? problem.title);
  }
}
/** No answer: the API is away, or the network is. */
export class Away extends Error {
  constructor() {
    super("The API does not answer.");
  }
}

let unavailable = () => {};
/** What to do when a change fails because something behind the API is away. */
export const onUnavailable = (then: () => void) => {
  unavailable = then;
};

const principal: Middleware = {
  onRequest({ request }) {
    if (shown && CHANGES.has(request.method)) request.headers.set("AgentGrid-Principal", shown);
    return request;
  },
  async onResponse({ request, response }) {
    if (response.status === 401 && !location.pathname.startsWith("/sign-in"))
      location.assign(`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`);
    if (response.status === 409 && (await response.clone().json()).code === "principal_changed") location.reload();
    if (response.status >= 503 && CHANGES.has(request.method)) unavailable();
    return response;
  },
};
export const client = createClient<paths>({
  baseUrl: "",
  querySerializer: { array: { style: "form", explode: true } },
});
client.use(principal);

/** The data, or the problem as an error. Raises Away where nothing answers. */
export async function ask<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let given;
  try {
    given = await answer;
  } catch {
    throw new Away();
  }
  const { data, error, response } = given;
  if (!response.ok) {
    const problem = (
      error && typeof error === "object"
        ? error
        : { title: response.statusText, status: response.status, code: "unknown", detail: response.statusText }
    ) as Problem;
    throw new ApiError(problem, response.status, Number(response.headers.get("retry-after")) || undefined);
  }
  return data as T;
}
