// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import * as q from "../api/queries";
import { Confirm } from "./Confirm";
import { DiffLines } from "./Diff";
import { Versions } from "./agent/Versions";
import { Keys } from "./settings/Keys";
import { RulePast } from "./tools/RulePast";

const TURNED = "gnp\u202eexe";
const at = "2026-11-29T09:00:00Z";
const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
const version = { version: TURNED, note: TURNED, created_by: TURNED, created_at: at, source: "code" };

beforeAll(() => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
});
afterEach(cleanup);
afterAll(() => void vi.unstubAllGlobals());

test.each([
  [
    "a rule's earlier versions",
    4,
    () => {
      const one = { version: 1, effect: "require_approval", approvers: [TURNED], title: TURNED, reason: TURNED };
      const versions = [{ ...one, created_by: TURNED, created_at: at }];
      queries.setQueryData(q.policies.one("tool:t").queryKey, { withdrawn: true, versions } as never);
      return <RulePast rule="tool:t" current="2" />;
    },
  ],
  [
    "the lines of a changed text",
    2,
    () => (
      <DiffLines
        of={[
          ["+", TURNED],
          ["=", TURNED],
        ]}
      />
    ),
  ],
  [
    "an agent's versions",
    4, // name, note and author in the list; the instructions
    () => {
      const only = { ...version, instructions: TURNED, tools: [], models: [], limits: {} };
      return <Versions agent={{ name: "a", version: TURNED, versions: [only], actions: [] } as never} />;
    },
  ],
  [
    "API keys",
    3,
    () => {
      const key = { key_id: "k", principal: TURNED, note: TURNED, created_by: TURNED, created_at: at };
      const items = [{ ...key, status: "live", expires_at: at, last_used_at: null }];
      queries.setQueryData(q.keys.pages().queryKey, { pages: [{ items }], pageParams: [undefined] } as never);
      return <Keys onPrincipal={() => {}} />;
    },
  ],
  [
    "a confirmation dialog",
    2,
    () => <Confirm title={TURNED} text={TURNED} verb="Stop" onConfirm={() => Promise.resolve()} onClose={() => {}} />,
  ],
])("invisible characters are named in %s", (_, times, what) => {
  render(
    <QueryClientProvider client={queries}>
      <MantineProvider env="test">{what()}</MantineProvider>
    </QueryClientProvider>,
  );
  const text = document.body.textContent!;
  expect(text).not.toContain("\u202e");
  expect(text.split("U+202E").length - 1).toBe(times);
});
