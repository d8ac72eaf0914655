// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { Confirm } from "./Confirm";

beforeAll(() => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
});
afterEach(cleanup);
afterAll(() => void vi.unstubAllGlobals());

test("the same reason reuses the idempotency key, a different reason gets a new one", async () => {
  const sent: { reason: string | null; key: string }[] = [];
  const refuse = (reason: string | null, key: string) => {
    sent.push({ reason, key });
    return Promise.reject(new Error(`refused ${sent.length}`));
  };
  render(
    <MantineProvider env="test">
      <Confirm title="Stop it?" text="It stops." verb="Stop" onConfirm={refuse} onClose={() => {}} />
    </MantineProvider>,
  );
  const press = async (reason: string) => {
    fireEvent.change(screen.getByRole("textbox"), { target: { value: reason } });
    fireEvent.click(screen.getByRole("button", { name: "Stop" }));
    await screen.findByText(`refused ${sent.length}`);
  };
  for (const reason of ["a", "a", "b"]) await press(reason);
  const [first, again, changed] = sent;
  expect(again).toEqual(first);
  expect(changed!.reason).toBe("b");
  expect(changed!.key).not.toBe(first!.key);
});
