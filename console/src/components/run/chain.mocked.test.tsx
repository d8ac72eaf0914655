// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import type { ReactElement, ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { client } from "../../api/client";
import * as q from "../../api/queries";
import { Bar } from "../Page";
import { Slot } from "../runs/List";
import { Chain } from "./Chain";
import History from "./History";

vi.mock("@tanstack/react-router", () => ({
  Link: ({ to, params, children }: { to: string; params?: { id: string }; children: ReactNode }) => (
    <a href={to.replace("$id", encodeURIComponent(params?.id ?? ""))}>{children}</a>
  ),
  createLink: () => "a",
  useLocation: () => ({ pathname: "/" }),
}));
vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
afterEach(cleanup);

const at = "2026-11-29T09:00:00Z";
const run = { run_id: "r", executions: [], links: {}, payloads_visible: false };
const show = (what: ReactElement, queries = new QueryClient()) =>
  render(
    <QueryClientProvider client={queries}>
      <MantineProvider env="test">{what}</MantineProvider>
    </QueryClientProvider>,
  );

test("a child run is a link, whatever characters its id has", () => {
  const children = [{ run_id: "a/b", status: "completed", workflow: "refund", created_at: at }];
  show(<Chain run={{ ...run, children } as never} onOnly={() => {}} />);
  fireEvent.click(screen.getByText("1 child run"));
  expect(screen.getByText("Refund").closest("a")!.getAttribute("href")).toBe("/runs/a%2Fb");
});
test("older commands aren't requested twice while loading", () => {
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
  const command = { command_id: "c", kind: "run.start", status: "applied", principal: "mara", created_at: at };
  const pages = [{ items: [command], next_cursor: "more" }];
  queries.setQueryData(q.commands.pages({ run: "r" }).queryKey, { pages, pageParams: [undefined] } as never);
  const read = vi.spyOn(client, "GET").mockReturnValue(new Promise(() => {}) as never);
  show(<History run={run as never} execution={undefined} />, queries);
  const button = screen.getByText<HTMLButtonElement>("Older commands");
  fireEvent.click(button);
  expect(read).toHaveBeenCalledOnce();
  return vi.waitFor(() => expect(button.disabled).toBe(true));
});
test("invisible characters are named in the tab title and in accessible names", () => {
  const turned = "gnp\u202eexe";
  const row = { run_id: "r", status: "completed", workflow: turned, subject: turned, step_count: 0, created_at: at };
  vi.spyOn(client, "GET").mockReturnValue(new Promise(() => {}) as never);
  show(
    <>
      <Bar crumbs={[{ word: turned, to: "/runs" }, { word: turned }]} />
      <Slot top={0} run={row as never} chosen={new Map()} onFlip={() => {}} />
    </>,
  );
  expect(document.title).not.toContain("\u202e");
  expect(document.body.innerHTML).not.toContain("\u202e");
});
