import { FocusTrap, Portal } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { type KeyboardEvent, useEffect, useState } from "react";
import * as q from "../api/queries";
import { Kbd } from "./Button";
import { find, type Hit } from "./hits";
import classes from "./Palette.module.css";

function useFound(words: string) {
  const [typed] = useDebouncedValue(words, 150);
  const { data: runs } = useQuery(q.runs.list(typed ? { q: typed } : {}, 5));
  const { data: approvals } = useQuery(q.approvals.list({ status: ["pending"], decidable_by: "me", limit: 50 }));
  const { data: workflows } = useQuery(q.workflows.list());
  const { data: agents } = useQuery(q.agents.list());
  const { data: tools } = useQuery(q.tools.list());
  return {
    runs: runs?.items ?? [],
    approvals: approvals?.items ?? [],
    workflows: workflows?.items ?? [],
    agents: agents?.items ?? [],
    tools: tools?.items ?? [],
  };
}

function Box({ onClose }: { onClose(): void }) {
  const [words, setWords] = useState("");
  const [at, setAt] = useState(0);
  const go = useNavigate();
  const groups = find(words.trim(), useFound(words.trim()));
  const flat = groups.flatMap((g) => g.hits);
  const pick = (hit: Hit | undefined, tab: boolean) => {
    if (!hit) return;
    onClose();
    if (tab) window.open(hit.to, "_blank", "noopener");
    else void go({ to: hit.to });
  };
  useEffect(() => setAt(0), [words]);
  function onKeyDown(e: KeyboardEvent) {
    if (e.key === "Escape") onClose();
    if (e.key === "Enter") pick(flat[at], e.ctrlKey || e.metaKey);
    if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
    e.preventDefault();
    setAt((n) => (n + (e.key === "ArrowDown" ? 1 : flat.length - 1)) % Math.max(1, flat.length));
  }
  return (
    <div
      className={classes.box}
      role="dialog"
      aria-modal
      aria-label="Search or jump to"
      onClick={(e) => e.stopPropagation()}
      onKeyDown={onKeyDown}
    >
      <label className={classes.field}>
        <Search size={16} aria-hidden />
        <input
          data-autofocus
          role="combobox"
          aria-expanded
          aria-controls="hits"
          aria-activedescendant={flat[at] && `hit-${at}`}
          value={words}
          onChange={(e) => setWords(e.target.value)}
          placeholder="A run, a reference, a tool, a place"
          aria-label="Search"
        />
        <Kbd>Esc</Kbd>
      </label>
      <div className={classes.list} id="hits" role="listbox" aria-label="Found">
        {groups.map((g) => (
          <div key={g.title} role="group" aria-label={g.title}>
            <h2 aria-hidden>{g.title}</h2>
            {g.hits.map((h) => (
              <div
                role="option"
                id={`hit-${flat.indexOf(h)}`}
                aria-selected={flat[at] === h}
                key={h.key}
                className={classes.hit}
                data-at={flat[at] === h || undefined}
                onMouseMove={() => setAt(flat.indexOf(h))}
                onClick={(e) => pick(h, e.ctrlKey || e.metaKey)}
              >
                <span className={classes.icon}>{h.icon}</span>
                <span className="cut">
                  <b>{h.word}</b> <span className="muted">{h.more}</span>
                </span>
                <span className={classes.end}>{h.end}</span>
              </div>
            ))}
          </div>
        ))}
        {!flat.length && (
          <p className={classes.none}>
            Nothing is called “{words}”. Whole references and the last eight of an id are found, too.
          </p>
        )}
      </div>
      <footer className={classes.foot}>
        <span>
          <Kbd>↑</Kbd>
          <Kbd>↓</Kbd> move
        </span>
        <span>
          <Kbd>Enter</Kbd> open
        </span>
        <span>
          <Kbd>Ctrl Enter</Kbd> in a new tab
        </span>
      </footer>
    </div>
  );
}

/** Search and jump. No blur behind: the page stays readable. */
export function Palette({ open, onClose }: { open: boolean; onClose(): void }) {
  useEffect(() => {
    if (!open) return;
    const before = document.activeElement as HTMLElement | null;
    return () => before?.focus?.();
  }, [open]);
  if (!open) return null;
  return (
    <Portal>
      <div className={classes.veil} onClick={onClose}>
        <FocusTrap active>
          <div>
            <Box onClose={onClose} />
          </div>
        </FocusTrap>
      </div>
    </Portal>
  );
}
