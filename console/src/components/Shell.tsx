import { Menu, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { ChevronsUpDown, Clock, Ellipsis, Keyboard, LogOut, Moon, Search, Sun } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { ask, client, showPrincipal, type Me } from "../api/client";
import * as q from "../api/queries";
import { moment, setZone, span, zone, zoneName } from "../format";
import { useKeys } from "../live/keys";
import { useNow } from "../live/now";
import { start, useLive } from "../live/stream";
import { Kbd } from "./Button";
import { Keys } from "./Keys";
import { Mark } from "./Mark";
import { NAV } from "./nav";
import { Palette } from "./Palette";
import classes from "./Shell.module.css";
import { Conditions, Strip } from "./States";

const PHONE = NAV[0]!.items;
const CHORD = 1_200; // milliseconds between G and the letter that follows it
// No event reports that Temporal or the projector is away, or back.
const WELL = 10_000;
const UNWELL = 3_000;
const HOLDS_UP = new Set(["temporal_away", "projection_behind"]);

function Connection() {
  const live = useLive();
  const now = useNow();
  const { data: overview } = useQuery(q.me.overview());
  const mirror = overview?.projection;
  if (live.state === "reconnecting")
    return (
      <p className={classes.live} data-state="away">
        <i />
        Reconnecting <span>since {moment(live.since, now)}</span>
      </p>
    );
  if (mirror?.stale)
    return (
      <p className={classes.live} data-state="stale">
        <i />
        {mirror.updated_at ? `Mirror ${span(now - Date.parse(mirror.updated_at))} behind` : "No mirror yet"}
      </p>
    );
  return (
    <p className={classes.live}>
      <i />
      {live.state === "live" ? "Live" : "Connecting"}{" "}
      <span>{mirror?.lag_seconds != null && `mirror ${mirror.lag_seconds.toFixed(1)} s`}</span>
    </p>
  );
}

/** Answers why not, where the session is still open. */
async function signOut(): Promise<string | undefined> {
  try {
    await ask(client.DELETE("/api/v1/session"));
  } catch (error) {
    return (error as Error).message;
  }
  location.assign("/sign-in");
}
interface PersonProps {
  me: Me;
  onKeys(): void;
  onZone(): void;
  onSignOut(): void;
}
function Person({ me, onKeys, onZone, onSignOut }: PersonProps) {
  const scheme = useComputedColorScheme();
  const { setColorScheme } = useMantineColorScheme();
  const other = zone() === "utc" ? "local" : "utc";
  return (
    <Menu position="top-start" width={220}>
      <Menu.Target>
        <button type="button" className={classes.person}>
          <span className={classes.face} aria-hidden>
            {me.name[0]!.toUpperCase()}
          </span>
          <span className={classes.who}>
            <b className="cut">{me.name}</b>
            <span className="cut">{me.roles.join(", ")}</span>
          </span>
          <ChevronsUpDown size={13} aria-hidden />
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          leftSection={scheme === "dark" ? <Sun size={14} /> : <Moon size={14} />}
          onClick={() => setColorScheme(scheme === "dark" ? "light" : "dark")}
        >
          {scheme === "dark" ? "Light" : "Dark"}
        </Menu.Item>
        <Menu.Item
          leftSection={<Clock size={14} />}
          onClick={() => {
            setZone(other);
            onZone();
          }}
        >
          {other === "utc" ? "Times in UTC" : "Times in my zone"}
        </Menu.Item>
        <Menu.Item leftSection={<Keyboard size={14} />} rightSection={<Kbd>?</Kbd>} onClick={onKeys}>
          Keys
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item leftSection={<LogOut size={14} />} onClick={onSignOut}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** G, then a letter, goes to a place. */
function usePlaces() {
  const go = useNavigate();
  const since = useRef(0);
  const to = (place: string) => {
    if (Date.now() - since.current > CHORD) return false;
    since.current = 0;
    void go({ to: place });
    return true;
  };
  useKeys({
    g: () => void (since.current = Date.now()),
    ...Object.fromEntries(
      NAV.flatMap((group) => group.items.filter((i) => i.key !== "g").map((i) => [i.key, () => to(i.to)])),
    ),
  });
}

export function Shell() {
  const queries = useQueryClient();
  const [palette, setPalette] = useState(false);
  const [keys, setKeys] = useState(false);
  const [, redraw] = useState(0);
  const [stillIn, setStillIn] = useState<string>();
  const path = useLocation().pathname;
  const decides = path.startsWith("/approvals/"); // a decision has the phone's whole screen
  const { data: me } = useQuery(q.me.me());
  const { data: overview } = useQuery({
    ...q.me.overview(),
    refetchInterval: ({ state }) => (state.data?.conditions.some((c) => HOLDS_UP.has(c.kind)) ? UNWELL : WELL),
  });
  const mine = overview?.approvals_for_me.count ?? 0;
  showPrincipal(me?.name);
  useDocumentTitle(mine ? `(${mine}) AgentGrid` : "AgentGrid");
  useKeys({ "mod+k": () => setPalette(true), "?": () => setKeys(true) });
  usePlaces();
  useEffect(() => {
    if (me) start(queries);
  }, [me?.name]);
  if (!me) return null;
  const badge = (to: string) => (to === "/approvals" && mine ? mine : undefined);
  return (
    <div className={classes.app} key={zone()}>
      <a href="#main" className={classes.skip}>
        Skip to the page
      </a>
      <nav className={classes.nav} aria-label="Console">
        <Link to="/" className={classes.brand}>
          <Mark />
          <b>AgentGrid</b>
        </Link>
        <button type="button" className={classes.search} onClick={() => setPalette(true)}>
          <Search size={14} aria-hidden />
          Search or jump to<Kbd>Ctrl K</Kbd>
        </button>
        {NAV.map((group) => (
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
                {badge(to) && (
                  <em>
                    <span className="visually-hidden">waiting: </span>
                    {badge(to)}
                  </em>
                )}
              </Link>
            ))}
          </div>
        ))}
        <div className={classes.foot} title={`Times in ${zoneName()}`}>
          <Connection />
          <Person
            me={me}
            onKeys={() => setKeys(true)}
            onZone={() => redraw((n) => n + 1)}
            onSignOut={() => void signOut().then(setStillIn)}
          />
        </div>
      </nav>
      <main id="main" className={classes.main}>
        <Conditions />
        {stillIn && (
          <Strip tone="wrong" icon={<LogOut size={15} />}>
            <b>You are still signed in.</b> {stillIn}
          </Strip>
        )}
        <Outlet />
      </main>
      <nav className={classes.phone} aria-label="Places" hidden={decides}>
        {PHONE.map(({ to, word, Icon }) => (
          <Link
            key={to}
            to={to}
            activeOptions={{ exact: to === "/", includeSearch: false }}
            activeProps={{ "aria-current": "page" }}
          >
            <span>
              <Icon size={19} strokeWidth={1.8} aria-hidden />
              {badge(to) && <em>{badge(to)}</em>}
            </span>
            {word}
          </Link>
        ))}
        <button type="button" onClick={() => setPalette(true)}>
          <span>
            <Ellipsis size={19} aria-hidden />
          </span>
          More
        </button>
      </nav>
      <Palette open={palette} onClose={() => setPalette(false)} />
      <Keys open={keys} onClose={() => setKeys(false)} />
    </div>
  );
}
