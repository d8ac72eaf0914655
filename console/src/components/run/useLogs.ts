/** The log lines of a run: the last ones first, older ones on request, new ones as they are announced. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Log } from "../../api/client";
import { LINES, logs, type LogFilter } from "../../api/queries/runs";
import { useEvents, useLive, type LiveEvent } from "../../live/stream";

const MOST = 5_000; // lines on the page; all of them are in the download

interface Loaded {
  /** The run and the filter that the lines belong to. */
  place: string;
  lines: Log[];
  /** Whether there are older lines. */
  more: boolean;
}
interface Shown extends Partial<Loaded> {
  error: unknown;
  /** Load older lines; undefined if there are none, or the page is full. */
  older?(): Promise<void>;
}
/** The loading state of one place, with one request at a time. */
interface Reading {
  loaded?: Loaded;
  busy: boolean;
  /** New lines were announced meanwhile. */
  again: boolean;
}
export function useLogs(run_id: string, filter: LogFilter): Shown {
  const [loaded, setLoaded] = useState<Loaded>(); // of the previous place, until the first lines of this one arrive
  const [error, setError] = useState<unknown>();
  const place = JSON.stringify([run_id, filter]);
  const now = useRef<Reading>({ busy: false, again: false });
  const put = (lines: Log[], more: boolean) =>
    setLoaded((now.current.loaded = { place, lines: lines.slice(-MOST), more: more || lines.length > MOST }));

  const { state } = useLive();
  const listening = state !== "connecting"; // before that, lines could be missed or fetched twice
  /** Fetch the last lines, then only new ones. */
  const follow = useCallback(async () => {
    const mine = now.current;
    if (!listening) return;
    if (mine.busy) return void (mine.again = true);
    mine.busy = true;
    try {
      do {
        mine.again = false;
        const { lines = [], more = false } = mine.loaded ?? {};
        const last = lines.at(-1);
        const fresh = await logs(run_id, filter, last ? { after: last.log_id } : { tail: LINES });
        if (now.current !== mine) return;
        const full = fresh.length === LINES;
        if (fresh.length || !mine.loaded) put([...lines, ...fresh], last ? more : full);
        mine.again ||= !!last && full;
        setError(undefined);
      } while (mine.again);
    } catch (e) {
      // Keep the loaded lines: the next event, or a reconnect, fetches again.
      if (now.current === mine && !mine.loaded) setError(e);
    } finally {
      mine.busy = false;
    }
  }, [place, listening]);
  useEffect(() => {
    now.current = { busy: false, again: false };
    void follow();
  }, [follow]);
  useEvents(
    useCallback(
      (events: LiveEvent[]) => {
        if (events.some((e) => e.run_id === run_id && (e.kind === "log" || e.kind === "end"))) void follow();
      },
      [follow],
    ),
  );
  const before = useRef(state);
  useEffect(() => {
    const back = state === "live" && before.current === "reconnecting";
    before.current = state;
    if (back) void follow();
  }, [state, follow]);

  const older = async () => {
    const mine = now.current;
    const first = mine.loaded?.lines[0];
    if (!first || mine.busy) return;
    mine.busy = true;
    try {
      const earlier = await logs(run_id, filter, { before: first.log_id });
      if (now.current !== mine) return;
      put([...earlier, ...mine.loaded!.lines], earlier.length === LINES);
      setError(undefined);
    } catch (e) {
      if (now.current === mine) setError(e);
    } finally {
      mine.busy = false;
    }
    if (mine.again && now.current === mine) void follow();
  };
  const some = loaded?.more && loaded.lines.length < MOST;
  return { ...loaded, error, older: some ? older : undefined };
}
