import { FocusTrap, Portal } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useLocation, useNavigate, useRouter } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { type KeyboardEvent, useEffect, useState } from "react";
import * as q from "../../api/queries";
import { MOD } from "../../live/keys";
import { offered, type Offer } from "../../live/offers";
import { Kbd } from "../Button";
import { Text } from "../Text";
import { find, type All, type Hit } from "./hits";
import classes from "./Palette.module.css";
import { recent } from "./recent";

interface Props {
  /** Actions available on every page. */
  acts: Offer[];
  onClose(): void;
}
const MOST = 5;
const TYPING = 150; // milliseconds

function useAll(words: string, acts: Offer[]): All {
  const [typed] = useDebouncedValue(words, TYPING);
  const queries = useQueryClient();
  const here = useLocation().pathname;
  const { data: runs } = useQuery(q.runs.list({}, MOST));
  const { data: approvals } = useQuery(
    q.approvals.list({ status: ["pending"], decidable_by: "me", sort: "urgency", limit: MOST }),
  );
  const {
    data: hits,
    isFetching,
    failureCount,
  } = useQuery({ ...q.search.hits(typed), placeholderData: keepPreviousData });
  return {
    recent: recent(queries, here),
    runs: runs?.items ?? [],
    approvals: approvals?.items ?? [],
    offers: offered(),
    acts,
    hits: hits?.items ?? [],
    searching: typed !== words || (isFetching && !failureCount),
  };
}

function Box({ acts, onClose }: Props) {
  const [words, setWords] = useState("");
  const [chosen, setChosen] = useState<string>(); // stays selected when hits appear above it
  const [pendingEnter, setPendingEnter] = useState<{ tab: boolean }>(); // Enter was pressed before the server responded
  const go = useNavigate();
  const router = useRouter();
  const all = useAll(words.trim(), acts);
  const groups = find(words.trim(), all);
  const flat = groups.flatMap((g) => g.hits);
  const keys = groups.flatMap((g) => g.hits.map((h) => `${g.title} ${h.key}`)); // a run may be in two groups
  const at = Math.max(0, chosen === undefined ? 0 : keys.indexOf(chosen));
  const pick = (hit: Hit | undefined, tab: boolean) => {
    if (!hit || (!hit.to && !hit.act)) return;
    onClose();
    if (!hit.to) hit.act!();
    else if (tab)
      window.open(router.buildLocation({ to: hit.to, search: hit.search ?? {} }).href, "_blank", "noopener");
    else void go({ to: hit.to, search: hit.search ?? {} });
  };
  const choose = (n: number) => {
    setChosen(keys[n]);
    setPendingEnter(undefined);
  };
  useEffect(() => {
    if (pendingEnter && !all.searching) {
      setPendingEnter(undefined);
      pick(flat[at], pendingEnter.tab);
    }
  });
  function onKeyDown(e: KeyboardEvent) {
    if (e.key === "Escape") onClose();
    if (e.key === "Enter") {
      const tab = e.ctrlKey || e.metaKey;
      // The first hit at this point matches earlier words, or only happens to match on this page.
      if (all.searching && keys[at] !== chosen) setPendingEnter({ tab });
      else pick(flat[at], tab);
    }
    if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
    e.preventDefault();
    choose((at + (e.key === "ArrowDown" ? 1 : flat.length - 1)) % Math.max(1, flat.length));
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
          autoFocus // immediately: the focus trap comes later, and keystrokes would be lost
          role="combobox"
          aria-expanded
          aria-controls="hits"
          aria-activedescendant={flat[at] && `hit-${at}`}
          value={words}
          onChange={(e) => {
            setWords(e.target.value);
            setChosen(undefined);
            setPendingEnter(undefined);
          }}
          placeholder="A run, reference, tool or action"
          aria-label="Search"
        />
        <Kbd>Esc</Kbd>
      </label>
      <div className={classes.list} id="hits" role="listbox" aria-label="Results">
        {groups.map((g) => (
          <div key={g.title} role="group" aria-label={g.title}>
            <h2 aria-hidden>{g.title}</h2>
            {g.hits.map((h) => (
              <div
                role="option"
                id={`hit-${flat.indexOf(h)}`}
                aria-selected={flat[at] === h}
                aria-disabled={!h.to && !h.act}
                key={h.key}
                className={classes.hit}
                data-at={flat[at] === h || undefined}
                onMouseMove={() => flat[at] !== h && choose(flat.indexOf(h))}
                onClick={(e) => pick(h, e.ctrlKey || e.metaKey)}
              >
                <span className={classes.icon}>{h.icon}</span>
                <span className="cut">
                  <b>
                    <Text>{h.word}</Text>
                  </b>{" "}
                  <span className="muted">{h.more && <Text>{h.more}</Text>}</span>
                </span>
                <span className={classes.end}>{h.end}</span>
              </div>
            ))}
          </div>
        ))}
        {!flat.length && (
          <p className={classes.none}>
            {all.searching
              ? "Searching"
              : `No results for “${words}”. Ids match by their start or their last eight characters.`}
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
          <Kbd>{MOD} Enter</Kbd> in a new tab
        </span>
      </footer>
    </div>
  );
}

/** The command palette. No blur behind it: the page stays readable. */
export function Palette(props: Props) {
  const [before] = useState(() => document.activeElement as HTMLElement | null); // captured before the field takes the focus
  useEffect(() => () => before?.focus?.(), [before]);
  return (
    <Portal>
      <div className={classes.veil} onClick={props.onClose}>
        <FocusTrap active>
          <div className={classes.frame}>
            <Box {...props} />
          </div>
        </FocusTrap>
      </div>
    </Portal>
  );
}
