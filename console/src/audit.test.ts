import { describe, expect, it } from "vitest";
import type { Command } from "./api/client";
import { GROUPS, kindsOf, placeOf, sentenceOf, via, why } from "./audit";

const command = (change: Partial<Command>): Command => ({
  command_id: "c",
  kind: "run.cancel",
  status: "applied",
  principal: "mara",
  route: "POST /api/v1/runs/r/cancel",
  run_id: "0000-12345678",
  approval_id: null,
  target: null,
  what: null,
  reason: null,
  outcome: null,
  attempts: 0,
  address: null,
  created_at: "2026-11-29T00:00:00Z",
  delivered_at: null,
  settled_at: null,
  execution_id: null,
  idempotency_key: null,
  key_id: null,
  session_id: null,
  ...change,
});

const outcome = (given: object) => given as Command["outcome"];

describe("the audit log as sentences", () => {
  it.each([
    [{}, "cancelled a run"],
    [{ status: "refused" }, "tried to cancel a run"],
    [{ status: "pending" }, "asks to cancel a run"],
    [{ kind: "run.start", target: "triage" }, "started Triage"],
    [{ kind: "run.signal", what: "nudge" }, "sent the signal nudge"],
    [{ kind: "approval.decide", what: "rejected" }, "rejected a request"],
    [{ kind: "approval.decide", what: "approved", status: "refused" }, "tried to approve a request"],
    [
      { kind: "tool.policy", target: "refund", what: "require_approval" },
      "set the rule of Refund, to require approval",
    ],
    [{ kind: "agent.use", target: "triager", what: "0123456789ab" }, "chose version 01234567 of Triager"],
    [{ kind: "key.create", target: "k", status: "proposed" }, "proposes to create an API key"],
    [{ kind: "session.open" }, "signed in"],
    [{ kind: "tool.disable", target: null, status: "refused" }, "tried to switch off an unknown tool"],
  ] as [Partial<Command>, string][])("%j", (change, words) => {
    expect(sentenceOf(command(change), (_, name) => name[0]!.toUpperCase() + name.slice(1))).toBe(words);
  });

  it("prefers the person's reason to the API's", () => {
    expect(
      why(command({ reason: "twice", outcome: outcome({ form: "fault", code: "forbidden", message: "no" }) })),
    ).toBe("“twice”");
    expect(why(command({ outcome: outcome({ form: "fault", code: "forbidden" }) }))).toBe("forbidden");
    expect(why(command({ outcome: outcome({ form: "facts", message: { not: "text" } }) }))).toBeUndefined();
  });

  it("links to its target", () => {
    expect(placeOf(command({}))).toEqual({ to: "/runs/0000-12345678", word: "12345678" });
    expect(placeOf(command({ approval_id: "aaaa-87654321" }))?.to).toBe("/approvals/aaaa-87654321");
    expect(placeOf(command({ kind: "tool.disable", run_id: null, target: "a/b" }))?.to).toBe("/tools/a%2Fb");
    expect(placeOf(command({ kind: "key.revoke", run_id: null, target: "k" }))).toBeUndefined();
    expect(via(command({ session_id: "s" }))).toBe("console");
  });

  it("puts each kind in one group, and accepts a kind by its own name", () => {
    const kinds = Object.values(GROUPS).flatMap((g) => g.kinds);
    expect(new Set(kinds).size).toBe(kinds.length);
    expect(kinds).toHaveLength(40);
    expect(kindsOf("run.start")).toEqual(["run.start"]);
    expect(kindsOf("nonsense")).toBeUndefined();
  });
});
