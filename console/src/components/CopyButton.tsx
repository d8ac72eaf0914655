import { Button } from "./Button";
import type { useCopy } from "./useCopy";

/** Copies a text and reports the result, through a status element too: screen readers don't announce a changed button label. */
export const CopyButton = ({ text, of: { message, copy } }: { text: string; of: ReturnType<typeof useCopy> }) => (
  <>
    <Button small look="quiet" onClick={() => copy(text)}>
      {message ?? "Copy"}
    </Button>
    <span className="visually-hidden" role="status">
      {message}
    </span>
  </>
);
