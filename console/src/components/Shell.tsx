import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { LogOut, Search } from "lucide-react";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { showPrincipal } from "../api/client";
import * as q from "../api/queries";
import { zone, zoneName } from "../format";
import { MOD, useKeys } from "../live/keys";
import { start, useLive } from "../live/stream";
import { Kbd } from "./Button";
import { Keys } from "./Keys";
import { Mark } from "./Mark";
import { NAV } from "./nav";
import { Palette } from "./palette/Palette";
import { visit } from "./palette/recent";
import { useActs } from "./shell/acts";
import { Connection } from "./shell/Connection";
import { Person } from "./shell/Person";
import { Phone } from "./shell/Phone";
import classes from "./Shell.module.css";
import { Conditions, Strip } from "./States";
import { usePoll } from "./shell/usePoll";
import { useOverview } from "./useOverview";

function Places({ mine }: { mine: number }) {
  return NAV.map((group) => (
    <div key={group.title} className={classes.group}>
      <h2>{group.title}</h2>
      {group.items.map(({ to, word, Icon }) => (
        <Link
          key={to}
          to={to}
          className={classes.item}
          activeOptions={{ exact: to === "/", includeSearch: false }}
          activeProps={{ "aria-current": "page" }}
        >
          <Icon size={15} strokeWidth={1.9} aria-hidden />
          {word}
          {to === "/approvals" && mine > 0 && (
            <em>
              <span className="visually-hidden">waiting: </span>
              {mine}
            </em>
          )}
        </Link>
      ))}
    </div>
  ));
}
/** The page content. It takes the focus if the focused element disappeared with the previous page. */
function Page({ children }: { children: ReactNode }) {
  const main = useRef<HTMLElement>(null);
  const path = useLocation().pathname;
  const was = useRef(path);
  useEffect(() => {
    visit(path);
    const moved = was.current !== path;
    was.current = path;
    if (moved && document.activeElement === document.body) main.current?.focus({ preventScroll: true });
  }, [path]);
  return (
    <main id="main" ref={main} tabIndex={-1} className={classes.main}>
      {children}
    </main>
  );
}

export function Shell() {
  const queries = useQueryClient();
  const go = useNavigate();
  const [palette, setPalette] = useState(false);
  const [keys, setKeys] = useState(false);
  const [, redraw] = useState(0);
  const [signOutError, setSignOutError] = useState<string>();
  const { state } = useLive();
  useEffect(() => {
    if (state === "live") setSignOutError(undefined); // signing out can be retried
  }, [state]);
  const path = useLocation().pathname;
  const { data: me } = useQuery(q.me.me());
  const { data: overview } = useOverview();
  const mine = overview?.approvals_for_me.count ?? 0;
  const acts = useActs({
    onKeys: () => setKeys(true),
    onZone: () => redraw((n) => n + 1),
    onSignOutError: setSignOutError,
  });
  const search = () => setPalette(true);
  showPrincipal(me?.name);
  useKeys({
    "mod+k": search,
    "?": () => setKeys(true),
    ...Object.fromEntries(
      NAV.flatMap((group) => group.items).map(({ key, to }) => [`g ${key}`, () => void go({ to })]),
    ),
  });
  usePoll(overview);
  useEffect(() => {
    if (me) start(queries);
  }, [me?.name]);
  if (!me) return null;
  return (
    <div className={classes.app} key={zone()}>
      <a href="#main" className={classes.skip}>
        Skip to content
      </a>
      <nav className={classes.nav} aria-label="Console">
        <Link to="/" className={classes.brand}>
          <Mark />
          <b>AgentGrid</b>
          <span className="cut">{me.installation.name}</span>
        </Link>
        <button type="button" className={classes.search} onClick={search}>
          <Search size={14} aria-hidden />
          Search or jump to<Kbd>{MOD} K</Kbd>
        </button>
        <Places mine={mine} />
        <div className={classes.foot} title={`Times in ${zoneName()}`}>
          <Connection />
          <Person me={me} acts={acts} />
        </div>
      </nav>
      <Page>
        <Conditions />
        {signOutError && (
          <Strip tone="wrong" icon={<LogOut size={15} />}>
            <b>You are still signed in.</b> {signOutError}
          </Strip>
        )}
        <Outlet />
      </Page>
      {/* On a phone an approval takes the whole screen. */}
      <Phone me={me} acts={acts} mine={mine} hidden={path.startsWith("/approvals/")} onSearch={search} />
      {palette && <Palette acts={acts} onClose={() => setPalette(false)} />}
      <Keys open={keys} onClose={() => setKeys(false)} />
    </div>
  );
}
