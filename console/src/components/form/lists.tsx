import { Plus, X } from "lucide-react";
import { useState, type KeyboardEvent } from "react";
import classes from "./Form.module.css";
import { describedBy, titleId } from "./parts";

interface Props<T> {
  id: string;
  label: string;
  value: T[];
  /** The maximum number of items. */
  most?: number;
  disabled?: boolean;
  onChange(value: T[]): void;
}
interface Next {
  id: string;
  label: string;
  placeholder: string;
  disabled?: boolean;
  onAdd(texts: string[]): void;
  onBack?(): void;
}
/** Input for the next item: Enter or blur adds it; each pasted line becomes an item. */
function NextOne({ id, label, placeholder, disabled, onAdd, onBack }: Next) {
  const [text, setText] = useState("");
  function add(of = text) {
    const texts = of
      .split(/\r?\n/)
      .map((t) => t.trim())
      .filter(Boolean);
    if (texts.length) onAdd(texts);
    setText("");
  }
  function key(e: KeyboardEvent) {
    if (e.nativeEvent.isComposing) return;
    if (e.key === "Enter") {
      e.preventDefault();
      e.stopPropagation();
      add();
    } else if (e.key === "Backspace" && !text) onBack?.();
  }
  return (
    <input
      id={id}
      aria-label={`${label}, another`}
      aria-describedby={describedBy(id)}
      placeholder={placeholder}
      disabled={disabled}
      value={text}
      onChange={(e) => setText(e.target.value)}
      onKeyDown={key}
      onBlur={() => add()}
      onPaste={(e) => {
        const pasted = e.clipboardData.getData("text");
        if (!/\r?\n/.test(pasted.trim())) return;
        e.preventDefault();
        add(text + pasted);
      }}
    />
  );
}
const room = <T,>(value: T[], most: number | undefined) => most === undefined || value.length < most;

/** Texts, one per line. */
export function Lines({ id, label, value, most, disabled, onChange }: Props<string>) {
  return (
    <div className={classes.list} role="group" aria-labelledby={titleId(id)}>
      {value.map((t, i) => (
        <div key={i}>
          <i>{i + 1}</i>
          <input
            id={`${id}.${i}`}
            aria-label={`${label} ${i + 1}`}
            value={t}
            disabled={disabled}
            onChange={(e) => onChange(value.map((x, j) => (j === i ? e.target.value : x)))}
          />
          <button
            type="button"
            aria-label={`Remove ${label} ${i + 1}`}
            disabled={disabled}
            onClick={() => onChange(value.filter((_, j) => j !== i))}
          >
            <X size={13} aria-hidden />
          </button>
        </div>
      ))}
      {room(value, most) && (
        <div>
          <Plus size={13} aria-hidden />
          <NextOne
            id={id}
            label={label}
            placeholder={value.length ? "Another, then Enter" : "Type one, then Enter"}
            disabled={disabled}
            onAdd={(ts) => onChange([...value, ...ts].slice(0, most))}
          />
        </div>
      )}
    </div>
  );
}
/** Short texts, side by side. */
export function Chips({ id, label, value, most, disabled, onChange }: Props<string>) {
  return (
    <div className={classes.chips} role="group" aria-labelledby={titleId(id)}>
      {value.map((t, i) => (
        <span key={i} className={classes.chip}>
          {t || "empty"}
          <button
            type="button"
            aria-label={`Remove ${t}`}
            disabled={disabled}
            onClick={() => onChange(value.filter((_, j) => j !== i))}
          >
            <X size={12} aria-hidden />
          </button>
        </span>
      ))}
      {room(value, most) && (
        <NextOne
          id={id}
          label={label}
          placeholder={value.length ? "" : "Type one, then Enter"}
          disabled={disabled}
          onAdd={(ts) => onChange([...value, ...ts].slice(0, most))}
          onBack={() => onChange(value.slice(0, -1))}
        />
      )}
    </div>
  );
}
/** Any number of choices, kept in their order. */
export function Toggles<T>({ id, value, choices, disabled, onChange }: Props<T> & { choices: readonly T[] }) {
  return (
    <div
      className={classes.toggles}
      id={id}
      tabIndex={-1}
      role="group"
      aria-labelledby={titleId(id)}
      aria-describedby={describedBy(id)}
    >
      {choices.map((c) => (
        <button
          type="button"
          key={String(c)}
          aria-pressed={value.includes(c)}
          disabled={disabled}
          onClick={() =>
            onChange(
              value.includes(c) ? value.filter((v) => v !== c) : choices.filter((x) => x === c || value.includes(x)),
            )
          }
        >
          {String(c)}
        </button>
      ))}
    </div>
  );
}
