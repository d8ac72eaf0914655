// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { client } from "../../api/client";
import { Palette } from "./Palette";

const go = vi.hoisted(() => vi.fn());
vi.mock("@tanstack/react-router", () => ({
  createLink: () => "a",
  useLocation: () => ({ pathname: "/" }),
  useNavigate: () => go,
  useRouter: () => ({}),
}));
vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));

const TOOL = { kind: "tool", id: "audit_books", title: "Audit books", detail: null };
/** Resolves the pending searches. */
let answer: (items: object[]) => Promise<void>;
beforeEach(() => {
  go.mockReset();
  vi.restoreAllMocks();
  let pending: ((items: object[]) => void)[] = [];
  answer = (items) => act(async () => pending.splice(0).forEach((done) => done(items)));
  vi.spyOn(client, "GET").mockImplementation(((path: string) => {
    const response = new Response();
    if (path !== "/api/v1/search") return Promise.resolve({ data: { items: [] }, response });
    return new Promise((done) => pending.push((items) => done({ data: { items }, response })));
  }) as never);
});
afterEach(cleanup);

function Page() {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button onClick={() => setOpen(true)}>Search</button>
      {open && <Palette acts={[]} onClose={() => setOpen(false)} />}
    </>
  );
}
function opened() {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MantineProvider env="test">
        <Page />
      </MantineProvider>
    </QueryClientProvider>,
  );
  const button = screen.getByRole("button");
  button.focus();
  fireEvent.click(button);
  const field = screen.getByRole<HTMLInputElement>("combobox");
  return { button, field, press: (key: string) => fireEvent.keyDown(field, { key }) };
}
const searched = () => vi.waitFor(() => expect(client.GET).toHaveBeenCalledWith("/api/v1/search", expect.anything()));

test("the field takes the focus immediately, and Escape restores it", () => {
  const { button, field, press } = opened();
  expect(document.activeElement).toBe(field);
  press("Escape");
  expect(document.activeElement).toBe(button);
});
test("Enter waits for the response, and opens the first hit", async () => {
  const { field, press } = opened();
  fireEvent.change(field, { target: { value: "audit" } });
  expect(screen.getByRole("option").textContent).toContain("Audit"); // the page
  press("Enter");
  expect(go).not.toHaveBeenCalled();
  await searched();
  await answer([TOOL]);
  await vi.waitFor(() => expect(go).toHaveBeenCalledWith(expect.objectContaining({ to: "/tools/audit_books" })));
});
test("a hit selected by hand stays selected when results appear above it, and opens immediately", async () => {
  const { field, press } = opened();
  fireEvent.change(field, { target: { value: "audit" } });
  press("ArrowDown");
  await searched();
  await answer([TOOL]);
  await screen.findByText("Audit books");
  expect(screen.getAllByRole("option")[1]!.getAttribute("aria-selected")).toBe("true");
  press("Enter");
  expect(go).toHaveBeenCalledWith(expect.objectContaining({ to: "/audit" }));
});
test("changing the words cancels a pending Enter", async () => {
  const { field, press } = opened();
  fireEvent.change(field, { target: { value: "audit" } });
  press("Enter");
  fireEvent.change(field, { target: { value: "audit b" } });
  await searched();
  await answer([TOOL]);
  expect(await screen.findByText("Audit books")).toBeTruthy();
  expect(go).not.toHaveBeenCalled();
});
