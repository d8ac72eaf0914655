/** One verb for many runs: each is a request of its own, a few at a time, and each has its own outcome. */
import { ApiError } from "../../api/client";

const AT_ONCE = 4;
const TRIES = 3;
const LONGEST_WAIT = 10; // seconds

export interface Outcome {
  id: string;
  /** Why it was not done; null if it was. */
  fault: string | null;
}
const wait = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));

async function sent(id: string, send: (id: string) => Promise<unknown>): Promise<Outcome> {
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

/** Ends when each has an outcome; `onOutcome` gets them as they come. */
export async function each(
  ids: string[],
  send: (id: string) => Promise<unknown>,
  onOutcome: (outcome: Outcome) => void,
): Promise<void> {
  const left = [...ids];
  const one = async () => {
    for (let id = left.shift(); id; id = left.shift()) onOutcome(await sent(id, send));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}
