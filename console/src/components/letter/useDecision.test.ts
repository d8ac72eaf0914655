import { expect, it } from "vitest";
import type { ApprovalDetail } from "../../api/client";
import { keyOf } from "./useDecision";

it("a person's decision keeps its idempotency key until one of theirs has arrived", () => {
  const of = (decisions: object[], proposals: object[]) =>
    keyOf({ approval_id: "a", decisions, proposals } as unknown as ApprovalDetail, "ada");
  expect(of([], [])).toBe("decision a 0");
  expect(of([{ principal: "mara" }, { principal: null }], [{ principal: "mara" }])).toBe("decision a 0");
  expect(of([{ principal: "ada" }], [{ principal: "ada" }])).toBe("decision a 2");
});
