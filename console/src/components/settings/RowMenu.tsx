import { Menu } from "@mantine/core";
import { Ellipsis } from "lucide-react";
import { visible } from "../../unseen";
import { Button } from "../Button";

interface Act {
  word: string;
  act(): void;
  disabled?: boolean;
  title?: string;
}
/** What can be done with the thing of a row: seldom needed, so one button a row. */
export const RowMenu = ({ of, acts }: { of: string; acts: Act[] }) => (
  <Menu position="bottom-end" width={160}>
    <Menu.Target>
      <Button look="quiet" small aria-label={`Actions for ${visible(of)}`}>
        <Ellipsis size={16} aria-hidden />
      </Button>
    </Menu.Target>
    <Menu.Dropdown>
      {acts.map(({ word, act, disabled, title }) => (
        <Menu.Item key={word} onClick={act} disabled={disabled} title={title}>
          {word}
        </Menu.Item>
      ))}
    </Menu.Dropdown>
  </Menu>
);
