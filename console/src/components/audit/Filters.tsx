import { Search as SearchIcon, X } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { GROUPS, OUTCOMES } from "../../audit";
import type { Search } from "../../router";
import classes from "../../screens/Audit.module.css";
import { Button } from "../Button";
import { Days } from "./Days";

function Find({ words, onChange }: { words: string; onChange(words: string): void }) {
  const [typed, setTyped] = useState(words);
  useEffect(() => setTyped(words), [words]);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    onChange(typed.trim());
  };
  return (
    <form onSubmit={submit} role="search">
      <label>
        <SearchIcon size={14} aria-hidden />
        <input
          value={typed}
          onChange={(e) => setTyped(e.target.value)}
          onBlur={() => typed.trim() !== words && onChange(typed.trim())}
          placeholder="Who, why, target or id"
          aria-label="Search the audit log"
          maxLength={300}
        />
      </label>
    </form>
  );
}

/** The filters of the log: text, principal, target, kind, outcome and dates. */
export function Filters({ url, note, onChange }: { url: Search; note?: string; onChange(change: Search): void }) {
  const flip = (key: "kind" | "status", value: string) => onChange({ [key]: url[key] === value ? undefined : value });
  return (
    <div className={classes.filters} role="group" aria-label="Filters">
      <Find words={url.q ?? ""} onChange={(words) => onChange({ q: words || undefined })} />
      <div>
        {(["principal", "target"] as const).map(
          (k) =>
            url[k] && (
              <Button key={k} small onClick={() => onChange({ [k]: undefined })}>
                {k === "principal" ? "by" : "on"} {url[k]}
                <X size={12} aria-label="remove" />
              </Button>
            ),
        )}
        {Object.entries(GROUPS).map(([key, g]) => (
          <button type="button" key={key} aria-pressed={url.kind === key} onClick={() => flip("kind", key)}>
            {g.word}
          </button>
        ))}
        <hr />
        {Object.entries(OUTCOMES).map(([key, o]) => (
          <button type="button" key={key} aria-pressed={url.status === key} onClick={() => flip("status", key)}>
            {o.word}
          </button>
        ))}
        <hr />
        <Days since={url.since} until={url.until} onChange={onChange} />
      </div>
      <span className="num">{note}</span>
    </div>
  );
}
