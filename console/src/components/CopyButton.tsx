import { Button } from "./Button";
import type { useCopy } from "./useCopy";

/** Copies a text, and says what became of it: to a screen reader too, which doesn't read a button whose name changes. */
export const CopyButton = ({ text, of: { said, copy } }: { text: string; of: ReturnType<typeof useCopy> }) => (
  <>
    <Button small look="quiet" onClick={() => copy(text)}>
      {said ?? "Copy"}
    </Button>
    <span className="visually-hidden" role="status">
      {said}
    </span>
  </>
);
