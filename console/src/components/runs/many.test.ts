import { expect, it, vi } from "vitest";
import { ApiError, type Problem } from "../../api/client";
import { each, type Outcome } from "./many";

const refusal = (status: number, detail: string) =>
  new ApiError({ title: detail, status, code: "x", detail } as Problem, status, 0);

it("gives each run its own outcome, and sends again what came too fast", async () => {
  let busy = 2;
  const send = vi.fn((id: string) => {
    if (id === "b") return Promise.reject(refusal(409, "it has ended"));
    if (id === "c" && busy--) return Promise.reject(refusal(429, "too many"));
    return Promise.resolve();
  });
  const found: Outcome[] = [];
  await each(["a", "b", "c", "d", "e", "f"], send, (o) => found.push(o));
  expect(Object.fromEntries(found.map((o) => [o.id, o.fault]))).toEqual({
    a: null,
    b: "it has ended",
    c: null,
    d: null,
    e: null,
    f: null,
  });
  expect(send.mock.calls.filter(([id]) => id === "c")).toHaveLength(3);
});

it("sends a few at a time, and gives up on what stays busy", async () => {
  let open = 0;
  let most = 0;
  const send = async () => {
    most = Math.max(most, ++open);
    await Promise.resolve();
    open--;
  };
  await each(
    Array.from({ length: 20 }, (_, n) => String(n)),
    send,
    () => undefined,
  );
  expect(most).toBe(4);
  const found: Outcome[] = [];
  await each(
    ["a"],
    () => Promise.reject(refusal(429, "too many")),
    (o) => found.push(o),
  );
  expect(found).toEqual([{ id: "a", fault: "too many" }]);
});
