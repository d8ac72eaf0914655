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
/** The actions of a row, behind one button because they are rarely needed. */
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
