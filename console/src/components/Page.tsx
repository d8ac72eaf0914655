import { useDocumentTitle } from "@mantine/hooks";
import { Link } from "@tanstack/react-router";
import { ChevronLeft, ChevronRight } from "lucide-react";
import type { ReactNode } from "react";
import type { Search } from "../router";
import { visible } from "../unseen";
import classes from "./Page.module.css";
import { Text } from "./Text";
import { useOverview } from "./useOverview";

/** The offset of menus in the bar, in pixels, so that they open below the bar's line. */
export const UNDER_BAR = 14;

interface Crumb {
  word: string;
  to?: string;
  search?: Search;
}
/** The top bar of a page: breadcrumbs and actions. On a phone the last crumb is the title and the one before it the back link. */
export function Bar({ crumbs, children }: { crumbs: Crumb[]; children?: ReactNode }) {
  const back = crumbs.at(-2);
  const { data: overview } = useOverview();
  const mine = overview?.approvals_for_me.count;
  useDocumentTitle(`${mine ? `(${mine}) ` : ""}${visible(crumbs.at(-1)!.word)} · AgentGrid`);
  return (
    <header className={classes.bar}>
      {back?.to && (
        <Link
          to={back.to}
          search={back.search ?? {}}
          className={classes.back}
          aria-label={`Back to ${visible(back.word)}`}
        >
          <ChevronLeft size={18} aria-hidden />
        </Link>
      )}
      <ol className={classes.crumbs}>
        {crumbs.map((c, i) => (
          <li key={i}>
            {i > 0 && <ChevronRight size={13} aria-hidden />}
            {c.to && i < crumbs.length - 1 ? (
              <Link to={c.to} search={c.search ?? {}}>
                <Text>{c.word}</Text>
              </Link>
            ) : (
              <h1>
                <Text>{c.word}</Text>
              </h1>
            )}
          </li>
        ))}
      </ol>
      <div className={classes.acts}>{children}</div>
    </header>
  );
}

interface SectionProps {
  title: string;
  note?: ReactNode;
  more?: string;
  to?: string;
  search?: Search;
  children: ReactNode;
  className?: string;
}
/** A heading above rows, with a line under it and no box. */
export function Section({ title, note, more, to, search, children, className }: SectionProps) {
  return (
    <section className={className}>
      <header className={classes.section}>
        <h2>{title}</h2>
        {note !== undefined && <span>{note}</span>}
        {more && (
          <Link to={to!} search={search ?? {}}>
            {more}
          </Link>
        )}
      </header>
      {children}
    </section>
  );
}
export const Scroll = ({ children, pad = true }: { children: ReactNode; pad?: boolean }) => (
  <div className={classes.scroll} data-pad={pad || undefined}>
    {children}
  </div>
);
