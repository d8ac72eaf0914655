// @vitest-environment jsdom
import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import { recent, visit } from "./recent";

test("catalog pages are offered, newest first, and invalid paths aren't", () => {
  for (const path of ["/tools/fetch_lead", "/agents/triager", "/constructor/x", "/tools/%zz", "/runs", "/audit"])
    visit(path);
  const hits = recent(new QueryClient(), "/audit");
  expect(hits.map((h) => [h.word, h.to])).toEqual([
    ["Triager", "/agents/triager"],
    ["Fetch lead", "/tools/fetch_lead"],
  ]);
});
