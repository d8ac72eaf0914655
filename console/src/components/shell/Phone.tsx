import { Link } from "@tanstack/react-router";
import { Ellipsis, Search } from "lucide-react";
import { useState } from "react";
import type { Me } from "../../api/client";
import type { Offer } from "../../live/offers";
import { NAV } from "../nav";
import { Sheet } from "../Side";
import classes from "./Phone.module.css";
import { Connection } from "./Connection";
import { Who } from "./Person";

const BAR = ["/", "/approvals", "/runs"];
const ITEMS = NAV.flatMap((group) => group.items);
const active = (to: string) => ({ exact: to === "/", includeSearch: false });

interface Props {
  me: Me;
  acts: Offer[];
  /** The number of approvals waiting for the user. */
  mine: number;
  hidden: boolean;
  onSearch(): void;
}
/** Everything that doesn't fit into the bar. */
function More({ me, acts, onSearch, onClose }: Omit<Props, "mine" | "hidden"> & { onClose(): void }) {
  const then = (act: () => void) => () => {
    onClose();
    act();
  };
  return (
    <Sheet label="More" onClose={onClose}>
      <button type="button" className={classes.search} onClick={then(onSearch)}>
        <Search size={16} aria-hidden />
        Search or jump to
      </button>
      <nav className={classes.places} aria-label="More pages">
        {ITEMS.filter((i) => !BAR.includes(i.to)).map(({ to, word, Icon }) => (
          <Link key={to} to={to} onClick={onClose} activeOptions={active(to)} activeProps={{ "aria-current": "page" }}>
            <Icon size={18} strokeWidth={1.8} aria-hidden />
            {word}
          </Link>
        ))}
      </nav>
      <div className={classes.person}>
        <Who me={me} />
      </div>
      <Connection />
      <div className={classes.acts}>
        {acts.map(({ word, Icon, act }) => (
          <button key={word} type="button" onClick={then(() => act?.())}>
            <Icon size={16} aria-hidden />
            {word}
          </button>
        ))}
      </div>
    </Sheet>
  );
}
/** The navigation of a narrow window: the three most used pages, and a sheet with the rest. */
export function Phone({ mine, hidden, ...rest }: Props) {
  const [more, setMore] = useState(false);
  return (
    <>
      <nav className={classes.bar} aria-label="Main pages" hidden={hidden}>
        {ITEMS.filter((i) => BAR.includes(i.to)).map(({ to, word, Icon }) => (
          <Link key={to} to={to} activeOptions={active(to)} activeProps={{ "aria-current": "page" }}>
            <span>
              <Icon size={19} strokeWidth={1.8} aria-hidden />
              {to === "/approvals" && mine > 0 && (
                <em>
                  <span className="visually-hidden">waiting: </span>
                  {mine}
                </em>
              )}
            </span>
            {word}
          </Link>
        ))}
        <button type="button" aria-haspopup="dialog" onClick={() => setMore(true)}>
          <span>
            <Ellipsis size={19} aria-hidden />
          </span>
          More
        </button>
      </nav>
      {more && <More {...rest} onClose={() => setMore(false)} />}
    </>
  );
}
