import { Menu } from "@mantine/core";
import { ChevronsUpDown } from "lucide-react";
import type { Me } from "../../api/client";
import type { Offer } from "../../live/offers";
import { Kbd } from "../Button";
import classes from "../Shell.module.css";

export const Who = ({ me }: { me: Me }) => (
  <>
    <span className={classes.face} aria-hidden>
      {me.name[0]!.toUpperCase()}
    </span>
    <span className={classes.who}>
      <b className="cut">{me.name}</b>
      <span className="cut">{me.roles.join(", ")}</span>
    </span>
  </>
);
/** The menu of the signed-in user, with their own settings. */
export function Person({ me, acts }: { me: Me; acts: Offer[] }) {
  return (
    <Menu position="top-start" width={220}>
      <Menu.Target>
        <button type="button" className={classes.person}>
          <Who me={me} />
          <ChevronsUpDown size={13} aria-hidden />
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        {acts.map(({ word, Icon, keys, act }, i) => (
          <div key={word} role="none">
            {i === acts.length - 1 && <Menu.Divider />}
            <Menu.Item
              leftSection={<Icon size={14} aria-hidden />}
              rightSection={keys?.map((k) => (
                <Kbd key={k}>{k}</Kbd>
              ))}
              onClick={act}
            >
              {word}
            </Menu.Item>
          </div>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
