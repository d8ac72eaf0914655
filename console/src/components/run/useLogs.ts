/** The lines of a run: the last ones first, older ones on request, new ones as they are announced. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Log } from "../../api/client";
import { LINES, logs, type LogFilter } from "../../api/queries/runs";
import { useEvents, useLive, type LiveEvent } from "../../live/stream";

const MOST = 5_000; // lines on the page; all of them are in the download

interface Found {
  /** The run and the filter that the lines are of. */
  place: string;
  lines: Log[];
  /** Whether there are older ones than these. */
  more: boolean;
}
interface Shown extends Partial<Found> {
  error: unknown;
  /** Read older lines; missing where there are none, or the page holds enough. */
  older?(): Promise<void>;
}
/** What is read of one place, one request at a time. */
interface Reading {
  found?: Found;
  busy: boolean;
  /** Something was announced meanwhile. */
  again: boolean;
}
export function useLogs(run_id: string, filter: LogFilter): Shown {
  const [found, setFound] = useState<Found>(); // of the place before, until the first lines of this one are there
  const [error, setError] = useState<unknown>();
  const place = JSON.stringify([run_id, filter]);
  const now = useRef<Reading>({ busy: false, again: false });
  const put = (lines: Log[], more: boolean) =>
    setFound((now.current.found = { place, lines: lines.slice(-MOST), more: more || lines.length > MOST }));

  const { state } = useLive();
  const listening = state !== "connecting"; // lines that came before it would be missed, or asked for twice
  /** Ask for the last lines, afterwards for what is new. */
  const follow = useCallback(async () => {
    const mine = now.current;
    if (!listening) return;
    if (mine.busy) return void (mine.again = true);
    mine.busy = true;
    try {
      do {
        mine.again = false;
        const { lines = [], more = false } = mine.found ?? {};
        const last = lines.at(-1);
        const fresh = await logs(run_id, filter, last ? { after: last.log_id } : { tail: LINES });
        if (now.current !== mine) return;
        const full = fresh.length === LINES;
        if (fresh.length || !mine.found) put([...lines, ...fresh], last ? more : full);
        mine.again ||= !!last && full;
        setError(undefined);
      } while (mine.again);
    } catch (e) {
      // Lines that are here stay: the next event, or the stream's return, asks again.
      if (now.current === mine && !mine.found) setError(e);
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
    const first = mine.found?.lines[0];
    if (!first || mine.busy) return;
    mine.busy = true;
    try {
      const earlier = await logs(run_id, filter, { before: first.log_id });
      if (now.current !== mine) return;
      put([...earlier, ...mine.found!.lines], earlier.length === LINES);
      setError(undefined);
    } catch (e) {
      if (now.current === mine) setError(e);
    } finally {
      mine.busy = false;
    }
    if (mine.again && now.current === mine) void follow();
  };
  const some = found?.more && found.lines.length < MOST;
  return { ...found, error, older: some ? older : undefined };
}
