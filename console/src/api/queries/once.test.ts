import { expect, test, vi } from "vitest";
import { client } from "../client";
import * as q from ".";

test.each([
  ["revoking an API key", () => q.keys.revoke("k", null, "once")],
  ["disabling a principal", () => q.principals.act("mara", "disable", null, "once")],
  ["retiring a signing key", () => q.signingKeys.act("s", "retire", null, "once")],
  ["ending a session", () => q.sessions.end("e", null, "once")],
])("%s sends its idempotency key, so that a second submission has no effect", async (_, change) => {
  const post = vi.spyOn(client, "POST").mockResolvedValue({ data: {}, response: new Response() } as never);
  await change();
  expect(post.mock.calls[0]![1]).toMatchObject({ headers: { "Idempotency-Key": "once" } });
  post.mockRestore();
});
