/** The typed API client. Every write names the principal shown on the page, so that the API refuses it if the session became someone else's. */
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
/** Set the principal that the page shows as signed in. */
export const showPrincipal = (name: string | undefined) => {
  shown = name;
};

/** An error response, with the API's reason. */
export class ApiError extends Error {
  constructor(
    readonly problem: Problem,
    readonly status: number,
    readonly retryAfter?: number,
  ) {
    super(problem.detail ?? problem.title);
  }
}
/** No response: the API or the network is down. */
export class Away extends Error {
  constructor() {
    super("The API isn’t responding.");
  }
}

let unavailable = () => {};
/** Register a callback for writes that fail because a service behind the API is down. */
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

/** The response's data, or its problem thrown as ApiError. Throws Away if there is no response. */
export async function unwrap<T>(request: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let result;
  try {
    result = await request;
  } catch {
    throw new Away();
  }
  const { data, error, response } = result;
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
