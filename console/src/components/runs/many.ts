/** One action for many runs: a request per run, a few at a time, each with its own outcome. */
import { ApiError } from "../../api/client";

const AT_ONCE = 4;
const TRIES = 3;
const LONGEST_WAIT = 10; // seconds

export interface Outcome {
  id: string;
  /** Why it failed; null if it succeeded. */
  fault: string | null;
}
const wait = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));

async function sendOne(id: string, send: (id: string) => Promise<unknown>): Promise<Outcome> {
  for (let n = 1; ; n++)
    try {
      await send(id);
      return { id, fault: null };
    } catch (error) {
      const busy = error instanceof ApiError && error.status === 429 && n < TRIES;
      if (!busy) return { id, fault: (error as Error).message };
      await wait(Math.min(error.retryAfter ?? 1, LONGEST_WAIT));
    }
}

/** Resolves once every request has an outcome; `onOutcome` receives them as they arrive. */
export async function sendAll(
  ids: string[],
  send: (id: string) => Promise<unknown>,
  onOutcome: (outcome: Outcome) => void,
): Promise<void> {
  const left = [...ids];
  const one = async () => {
    for (let id = left.shift(); id; id = left.shift()) onOutcome(await sendOne(id, send));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}
