import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import * as q from "../api/queries";
import { Bar, Scroll } from "../components/Page";
import { Skeleton } from "../components/States";
import { Keys } from "../components/settings/Keys";
import { Principals } from "../components/settings/Principals";
import { SigningKeys } from "../components/settings/SigningKeys";
import { You } from "../components/settings/You";
import classes from "../components/settings/Settings.module.css";
import type { Search } from "../router";

const VIEWS = { you: "You", people: "People and programs", keys: "API keys", signing: "Signing keys" } as const;
type View = keyof typeof VIEWS;

/** The user's own account and sessions; for administrators also all principals, API keys and signing keys. */
export default function Settings() {
  const url = useSearch({ strict: false }) as Search;
  const go = useNavigate();
  const { data: me } = useQuery(q.me.me());
  if (!me)
    return (
      <>
        <Bar crumbs={[{ word: "Settings" }]} />
        <Scroll>
          <Skeleton rows={8} />
        </Scroll>
      </>
    );
  const administers = me.permissions.includes("administer");
  const view: View = url.view && Object.hasOwn(VIEWS, url.view) ? (url.view as View) : "you";
  return (
    <>
      <Bar crumbs={[{ word: "Settings" }]} />
      {administers && (
        <nav className={classes.tabs} aria-label="Settings">
          {(Object.keys(VIEWS) as View[]).map((v) => (
            <Link
              key={v}
              to="/settings"
              search={v === "you" ? {} : { view: v }}
              activeOptions={{ exact: true }}
              activeProps={{ "aria-current": undefined }}
              aria-current={v === view ? "page" : undefined}
            >
              {VIEWS[v]}
            </Link>
          ))}
        </nav>
      )}
      <Scroll>
        <div className={classes.page}>
          {view === "you" && <You me={me} />}
          {view === "people" && <Principals />}
          {view === "keys" && (
            <Keys
              principal={url.principal}
              onPrincipal={(principal) => void go({ to: ".", search: (old: Search) => ({ ...old, principal }) })}
            />
          )}
          {view === "signing" && <SigningKeys />}
        </div>
      </Scroll>
    </>
  );
}
