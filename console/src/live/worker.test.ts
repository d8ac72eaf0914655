import { afterEach, expect, test, vi } from "vitest";

/** The worker by itself: what a tab hears, what the API is asked. */
async function begin(statuses: number[]) {
  const asked: string[] = [];
  const freed = new Map<string, () => void>();
  const worker: { onconnect: null | ((e: { ports: MessagePort[] }) => void) } = { onconnect: null };
  vi.resetModules();
  vi.stubGlobal("self", worker);
  vi.stubGlobal("navigator", { locks: { request: (name: string, then: () => void) => freed.set(name, then) } });
  vi.stubGlobal("fetch", (url: string, { signal }: RequestInit) => {
    asked.push(url);
    const status = statuses.shift();
    if (status) return Promise.resolve(new Response(null, { status }));
    return new Promise((_, refuse) => signal!.addEventListener("abort", () => refuse(signal!.reason)));
  });
  await import("./stream.worker");
  const tab = () => {
    const heard: string[] = [];
    const port = { start() {}, postMessage: (m: { state: string }) => heard.push(m.state) } as unknown as MessagePort;
    worker.onconnect!({ ports: [port] });
    return { heard, send: (data: unknown) => port.onmessage!({ data } as MessageEvent) };
  };
  return { asked, freed, tab };
}
afterEach(() => vi.unstubAllGlobals());

test("401 signs every tab out; a tab that comes later is not turned away", async () => {
  const { asked, tab } = await begin([401]);
  const first = tab();
  await vi.waitFor(() => expect(first.heard).toEqual(["connecting", "signed-out"]));
  const second = tab();
  expect(second.heard).toEqual(["connecting"]);
  expect(asked).toHaveLength(2);
});
test.each([403, 422])("%d is a refusal, and no sign-out", async (status) => {
  const { heard } = (await begin([status])).tab();
  await vi.waitFor(() => expect(heard).toEqual(["connecting", "refused"]));
});
test("503 is tried again", async () => {
  const { heard } = (await begin([503])).tab();
  await vi.waitFor(() => expect(heard).toEqual(["connecting", "reconnecting"]));
});
test("what a tab watched is let go when the tab is gone", async () => {
  const { asked, freed, tab } = await begin([]);
  const [one, other] = [tab(), tab()];
  one.send({ lock: "one" });
  one.send({ watch: ["r1"] });
  other.send({ watch: ["r2"] });
  await vi.waitFor(() => expect(asked.at(-1)).toBe("/api/v1/events?run=r1&run=r2"));
  freed.get("one")!();
  await vi.waitFor(() => expect(asked.at(-1)).toBe("/api/v1/events?run=r2"));
});
test("no more runs are asked for than the API takes", async () => {
  const { asked, tab } = await begin([]);
  tab().send({ watch: Array.from({ length: 60 }, (_, i) => `r${i}`) });
  await vi.waitFor(() => expect(asked.at(-1)!.split("run=")).toHaveLength(51));
});
