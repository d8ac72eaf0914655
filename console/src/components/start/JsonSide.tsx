import { useEffect, useId, useState } from "react";
import { Button } from "../Button";
import { CopyButton } from "../CopyButton";
import { Json } from "../Json";
import { useCopy } from "../useCopy";
import classes from "./Start.module.css";
import { parseJson, toText } from "./json";

interface Props {
  value: unknown;
  disabled?: boolean;
  onChange(value: unknown): void;
  /** Whether the text is valid JSON. */
  onReadable(readable: boolean): void;
  /** There is no form beside it: the input is edited here. */
  alone?: boolean;
}
/** The input as JSON, in sync with the form in both directions. */
export function JsonSide({ value, disabled, onChange, onReadable, alone }: Props) {
  const [editing, setEditing] = useState(!!alone);
  const [text, setText] = useState(() => toText(value));
  const [fault, setFault] = useState<string>();
  const copy = useCopy();
  const id = useId();
  const now = toText(value);
  useEffect(() => {
    // A change in the form replaces the text; a change that came from this text leaves it as typed.
    setText((old) => {
      const own = parseJson(old);
      return "value" in own && toText(own.value) === now ? old : now;
    });
    report(undefined);
    copy.forget();
  }, [now]);
  function report(next: string | undefined) {
    setFault(next);
    onReadable(next === undefined);
  }
  function take(next: string) {
    setText(next);
    const read = parseJson(next);
    if ("fault" in read) return report(read.fault);
    report(undefined);
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
        <span>{alone ? "Input as JSON" : "As JSON"}</span>
        {!alone && (
          <Button
            look="quiet"
            small
            aria-pressed={editing}
            onClick={() => {
              setEditing(!editing);
              if (fault) setText(now);
              report(undefined);
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
