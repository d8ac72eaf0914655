import { useEffect, useId, useState } from "react";
import { Button } from "../Button";
import { CopyButton } from "../CopyButton";
import { Json } from "../Json";
import { useCopy } from "../useCopy";
import classes from "./Start.module.css";
import { parsed, written } from "./json";

interface Props {
  value: unknown;
  disabled?: boolean;
  onChange(value: unknown): void;
  /** Whether what is written is JSON that counts. */
  onReadable(readable: boolean): void;
  /** There is no form beside it: it is written here. */
  alone?: boolean;
}
/** The input as JSON, in step with the form: what is changed here is in the form at once, and the other way round. */
export function JsonSide({ value, disabled, onChange, onReadable, alone }: Props) {
  const [editing, setEditing] = useState(!!alone);
  const [text, setText] = useState(() => written(value));
  const [fault, setFault] = useState<string>();
  const copy = useCopy();
  const id = useId();
  const now = written(value);
  useEffect(() => {
    // A change in the form replaces the text; a change that came from this text leaves it as it is typed.
    setText((old) => {
      const own = parsed(old);
      return "value" in own && written(own.value) === now ? old : now;
    });
    say(undefined);
    copy.forget();
  }, [now]);
  function say(next: string | undefined) {
    setFault(next);
    onReadable(next === undefined);
  }
  function take(next: string) {
    setText(next);
    const read = parsed(next);
    if ("fault" in read) return say(read.fault);
    say(undefined);
    onChange(read.value);
  }
  return (
    <div
      className={classes.json}
      ref={(side) => {
        copy.ref.current = side?.querySelector<HTMLElement>("textarea, pre") ?? null;
      }}
    >
      <header>
        <span>{alone ? "Input as JSON" : "The same as JSON"}</span>
        {!alone && (
          <Button
            look="quiet"
            small
            aria-pressed={editing}
            onClick={() => {
              setEditing(!editing);
              if (fault) setText(now);
              say(undefined);
            }}
          >
            {editing ? (fault ? "Discard" : "Done") : "Edit"}
          </Button>
        )}
        <CopyButton text={text} of={copy} />
      </header>
      {editing ? (
        <textarea
          aria-label="Input as JSON"
          aria-invalid={!!fault || undefined}
          aria-describedby={id}
          spellCheck={false}
          disabled={disabled}
          value={text}
          onChange={(e) => take(e.target.value)}
        />
      ) : (
        <Json value={value ?? null} />
      )}
      <p id={id} role="status">
        {fault}
      </p>
    </div>
  );
}
