/** The lines of a run: the last ones first, older ones on request, new ones as they are announced. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Log } from "../../api/client";
import { LINES, logs, type LogFilter } from "../../api/queries/runs";
import { useEvents, useLive, type LiveEvent } from "../../live/stream";

const MOST = 5_000; // lines on the page; all of them are in the download

export interface Lines {
  lines: Log[] | undefined;
  /** Whether there are older ones than those. */
  more: boolean;
  error: unknown;
  older(): Promise<void>;
}
export function useLogs(run_id: string, filter: LogFilter): Lines {
  const [lines, setLines] = useState<Log[]>();
  const [more, setMore] = useState(false);
  const [error, setError] = useState<unknown>();
  const place = JSON.stringify([run_id, filter]);
  const now = useRef({ place, lines, busy: false, again: false });
  const put = (found: Log[]) => setLines((now.current.lines = found));

  const { state } = useLive();
  const listening = state !== "connecting"; // lines that came before it would be missed, or asked for twice
  const begin = useCallback(async () => {
    const mine = now.current;
    mine.busy = true;
    try {
      const found = await logs(run_id, filter, { tail: LINES });
      if (now.current !== mine) return;
      put(found);
      setMore(found.length === LINES);
      setError(undefined);
    } catch (e) {
      if (now.current === mine) setError(e);
    } finally {
      mine.busy = false;
    }
  }, [place]);
  /** Ask for what is new, one request at a time; for the first ones, where they did not come. */
  const follow = useCallback(async () => {
    const mine = now.current;
    if (!listening) return;
    if (mine.busy) return void (mine.again = true);
    if (!mine.lines) await begin();
    if (!mine.lines) return;
    mine.busy = true;
    try {
      do {
        mine.again = false;
        const last = mine.lines.at(-1);
        const found = await logs(run_id, filter, last ? { after: last.log_id } : { tail: LINES });
        if (now.current !== mine) return;
        if (found.length) put([...mine.lines, ...found].slice(-MOST));
        if (found.length === LINES) mine.again = true;
      } while (mine.again);
    } catch {
      // The next event, or the stream's return, asks again.
    } finally {
      mine.busy = false;
    }
  }, [place, listening, begin]);
  useEffect(() => {
    now.current = { place, lines: undefined, busy: false, again: false };
    const mine = now.current;
    if (listening) void begin().then(() => mine === now.current && mine.again && void follow());
  }, [place, listening]);
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
    const first = mine.lines?.[0];
    if (!first) return;
    const found = await logs(run_id, filter, { before: first.log_id });
    if (now.current !== mine) return;
    put([...found, ...mine.lines!].slice(0, MOST));
    setMore(found.length === LINES && mine.lines!.length < MOST);
  };
  return { lines, more, error, older };
}
