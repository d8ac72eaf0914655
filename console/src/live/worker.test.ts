import { afterEach, expect, test, vi } from "vitest";

/** Runs the worker alone and records what tabs receive and what the API is asked. */
async function begin(statuses: number[]) {
  const requests: string[] = [];
  const freed = new Map<string, () => void>();
  const worker: { onconnect: null | ((e: { ports: MessagePort[] }) => void) } = { onconnect: null };
  vi.resetModules();
  vi.stubGlobal("self", worker);
  vi.stubGlobal("navigator", { locks: { request: (name: string, then: () => void) => freed.set(name, then) } });
  vi.stubGlobal("fetch", (url: string, { signal }: RequestInit) => {
    requests.push(url);
    const status = statuses.shift();
    if (status) return Promise.resolve(new Response(null, { status }));
    return new Promise((_, refuse) => signal!.addEventListener("abort", () => refuse(signal!.reason)));
  });
  await import("./stream.worker");
  const tab = () => {
    const received: string[] = [];
    const port = {
      start() {},
      postMessage: (m: { state: string }) => received.push(m.state),
    } as unknown as MessagePort;
    worker.onconnect!({ ports: [port] });
    return { received, send: (data: unknown) => port.onmessage!({ data } as MessageEvent) };
  };
  return { requests, freed, tab };
}
afterEach(() => vi.unstubAllGlobals());

test("401 signs every tab out; a tab opened later can connect", async () => {
  const { requests, tab } = await begin([401]);
  const first = tab();
  await vi.waitFor(() => expect(first.received).toEqual(["connecting", "signed-out"]));
  const second = tab();
  expect(second.received).toEqual(["connecting"]);
  expect(requests).toHaveLength(2);
});
test.each([403, 422])("%d refuses the stream without signing out", async (status) => {
  const { received } = (await begin([status])).tab();
  await vi.waitFor(() => expect(received).toEqual(["connecting", "refused"]));
});
test("503 is retried", async () => {
  const { received } = (await begin([503])).tab();
  await vi.waitFor(() => expect(received).toEqual(["connecting", "reconnecting"]));
});
test("a closed tab's runs are no longer watched", async () => {
  const { requests, freed, tab } = await begin([]);
  const [one, other] = [tab(), tab()];
  one.send({ lock: "one" });
  one.send({ watch: ["r1"] });
  other.send({ watch: ["r2"] });
  await vi.waitFor(() => expect(requests.at(-1)).toBe("/api/v1/events?run=r1&run=r2"));
  freed.get("one")!();
  await vi.waitFor(() => expect(requests.at(-1)).toBe("/api/v1/events?run=r2"));
});
test("no more runs are requested than the API accepts", async () => {
  const { requests, tab } = await begin([]);
  tab().send({ watch: Array.from({ length: 60 }, (_, i) => `r${i}`) });
  await vi.waitFor(() => expect(requests.at(-1)!.split("run=")).toHaveLength(51));
});
