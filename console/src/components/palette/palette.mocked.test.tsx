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
/** Answers the searches that are open. */
let answer: (items: object[]) => Promise<void>;
beforeEach(() => {
  go.mockReset();
  vi.restoreAllMocks();
  let asked: ((items: object[]) => void)[] = [];
  answer = (items) => act(async () => asked.splice(0).forEach((done) => done(items)));
  vi.spyOn(client, "GET").mockImplementation(((path: string) => {
    const response = new Response();
    if (path !== "/api/v1/search") return Promise.resolve({ data: { items: [] }, response });
    return new Promise((done) => asked.push((items) => done({ data: { items }, response })));
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
const asks = () => vi.waitFor(() => expect(client.GET).toHaveBeenCalledWith("/api/v1/search", expect.anything()));

test("the field has the focus at once, and Escape gives it back to where it was", () => {
  const { button, field, press } = opened();
  expect(document.activeElement).toBe(field);
  press("Escape");
  expect(document.activeElement).toBe(button);
});
test("Enter waits for the answer, and opens what is first then", async () => {
  const { field, press } = opened();
  fireEvent.change(field, { target: { value: "audit" } });
  expect(screen.getByRole("option").textContent).toContain("Audit"); // the place
  press("Enter");
  expect(go).not.toHaveBeenCalled();
  await asks();
  await answer([TOOL]);
  await vi.waitFor(() => expect(go).toHaveBeenCalledWith(expect.objectContaining({ to: "/tools/audit_books" })));
});
test("what was chosen by hand stays chosen when the answer comes above it, and is opened at once", async () => {
  const { field, press } = opened();
  fireEvent.change(field, { target: { value: "audit" } });
  press("ArrowDown");
  await asks();
  await answer([TOOL]);
  await screen.findByText("Audit books");
  expect(screen.getAllByRole("option")[1]!.getAttribute("aria-selected")).toBe("true");
  press("Enter");
  expect(go).toHaveBeenCalledWith(expect.objectContaining({ to: "/audit" }));
});
test("other words forget the Enter before them", async () => {
  const { field, press } = opened();
  fireEvent.change(field, { target: { value: "audit" } });
  press("Enter");
  fireEvent.change(field, { target: { value: "audit b" } });
  await asks();
  await answer([TOOL]);
  expect(await screen.findByText("Audit books")).toBeTruthy();
  expect(go).not.toHaveBeenCalled();
});
