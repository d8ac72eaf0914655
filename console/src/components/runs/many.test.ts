import { expect, it, vi } from "vitest";
import { ApiError, type Problem } from "../../api/client";
import { sendAll, type Outcome } from "./many";

const refusal = (status: number, detail: string) =>
  new ApiError({ title: detail, status, code: "x", detail } as Problem, status, 0);

it("reports each run's outcome, and retries rate-limited requests", async () => {
  let busy = 2;
  const send = vi.fn((id: string) => {
    if (id === "b") return Promise.reject(refusal(409, "it has ended"));
    if (id === "c" && busy--) return Promise.reject(refusal(429, "too many"));
    return Promise.resolve();
  });
  const outcomes: Outcome[] = [];
  await sendAll(["a", "b", "c", "d", "e", "f"], send, (o) => outcomes.push(o));
  expect(Object.fromEntries(outcomes.map((o) => [o.id, o.fault]))).toEqual({
    a: null,
    b: "it has ended",
    c: null,
    d: null,
    e: null,
    f: null,
  });
  expect(send.mock.calls.filter(([id]) => id === "c")).toHaveLength(3);
});

it("sends a few at a time, and gives up if it stays rate-limited", async () => {
  let open = 0;
  let most = 0;
  const send = async () => {
    most = Math.max(most, ++open);
    await Promise.resolve();
    open--;
  };
  await sendAll(
    Array.from({ length: 20 }, (_, n) => String(n)),
    send,
    () => undefined,
  );
  expect(most).toBe(4);
  const outcomes: Outcome[] = [];
  await sendAll(
    ["a"],
    () => Promise.reject(refusal(429, "too many")),
    (o) => outcomes.push(o),
  );
  expect(outcomes).toEqual([{ id: "a", fault: "too many" }]);
});
