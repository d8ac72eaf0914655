/** Rules: current ones, earlier versions, and changes to them. A change that relaxes a rule returns a proposal. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

type Schemas = components["schemas"];
export type RuleBody = Schemas["ToolPolicyIn"];
export type Proposed = Schemas["Proposed"];
export type Command = Schemas["CommandSummary"];
export type Subject = { noun: "tool" | "agent"; name: string };

export const ruleId = (of: Subject) => `${of.noun}:${of.name}`;
export const isProposed = (answer: object): answer is Proposed => "confirm" in answer;

export const one = (rule_id: string) =>
  queryOptions({
    queryKey: ["policies", rule_id],
    queryFn: () => unwrap(client.GET("/api/v1/policies/{rule_id}", { params: { path: { rule_id } } })),
    staleTime: 30_000,
  });
export const about = (of: Subject) =>
  queryOptions({
    queryKey: ["policies", "about", of.noun, of.name],
    queryFn: () => unwrap(client.GET("/api/v1/policies", { params: { query: { [of.noun]: of.name, limit: 50 } } })),
    staleTime: 30_000,
  });
export type Preview = Schemas["PolicyPreviewed"];
/** What a rule would change if it were set. */
export const preview = ({ noun, name }: Subject, rule: Omit<Schemas["PolicyPreview"], "tool" | "agent">) =>
  queryOptions({
    queryKey: ["policies", "preview", noun, name, rule],
    queryFn: () => unwrap(client.POST("/api/v1/policies/preview", { body: { [noun]: name, ...rule } })),
    placeholderData: keepPreviousData,
    retry: false,
  });
/** Rule changes that wait for a second administrator. */
export const proposals = () =>
  queryOptions({
    queryKey: ["commands", "proposals"],
    queryFn: () =>
      unwrap(
        client.GET("/api/v1/commands", {
          params: {
            query: {
              status: ["proposed"],
              kind: ["tool.policy", "agent.policy", "policy.put", "policy.withdraw"],
              limit: 50,
            },
          },
        }),
      ),
  });

const idempotent = (key: string) => ({ "Idempotency-Key": key });
/** Set a tool's or an agent's own rule. Returns the resulting rule, or a proposal. */
export const put = ({ noun, name }: Subject, body: RuleBody, key: string): Promise<object> => {
  const options = { params: { path: { name } }, headers: idempotent(key), body };
  return noun === "tool"
    ? unwrap(client.PUT("/api/v1/tools/{name}/policy", options))
    : unwrap(client.PUT("/api/v1/agents/{name}/policy", options));
};
export const withdraw = (
  rule_id: string,
  expected_version: number,
  reason: string | null,
  key: string,
): Promise<object> =>
  unwrap(
    client.DELETE("/api/v1/policies/{rule_id}", {
      params: { path: { rule_id }, query: { expected_version } },
      headers: idempotent(key),
      body: { reason },
    }),
  );
/** Turn a kill switch on or off. */
export const turn = ({ noun, name }: Subject, to: "enable" | "disable", reason: string | null, key: string) => {
  const options = { params: { path: { name } }, headers: idempotent(key), body: { reason } };
  return noun === "tool"
    ? unwrap(client.POST(`/api/v1/tools/{name}/${to}`, options))
    : unwrap(client.POST(`/api/v1/agents/{name}/${to}`, options));
};
export const settle = (command_id: string, how: "confirm" | "withdraw", reason: string | null, key: string) =>
  unwrap(
    client.POST(`/api/v1/commands/{command_id}/${how}`, {
      params: { path: { command_id } },
      headers: idempotent(key),
      body: { reason },
    }),
  );
