import {
  Blocks,
  Bot,
  CalendarClock,
  Cpu,
  House,
  Inbox,
  Layers,
  Play,
  ScrollText,
  Settings,
  Stethoscope,
  Workflow,
  Wrench,
  type LucideIcon,
} from "lucide-react";
import type { paths } from "../api/schema";

export interface Place {
  to: string;
  word: string;
  Icon: LucideIcon;
  /** The key pressed after G. */
  key: string;
}
/** Planned pages, by their API route. */
interface Later {
  schedules: "/api/v1/schedules";
  bulk: "/api/v1/bulk";
  templates: "/api/v1/templates";
  doctor: "/api/v1/doctor";
}
/** Whether the API has the route; a wrong value doesn't compile. A page set to true needs a screen in the router. */
export const HAS: { [Noun in keyof Later]: Later[Noun] extends keyof paths ? true : false } = {
  schedules: false,
  bulk: false,
  templates: false,
  doctor: false,
};

interface Group {
  title: string;
  items: (Place & { noun?: keyof Later })[];
}
const ALL: Group[] = [
  {
    title: "Operate",
    items: [
      { to: "/", word: "Overview", Icon: House, key: "o" },
      { to: "/approvals", word: "Approvals", Icon: Inbox, key: "a" },
      { to: "/runs", word: "Runs", Icon: Play, key: "r" },
      { to: "/schedules", word: "Schedules", Icon: CalendarClock, key: "c", noun: "schedules" },
      { to: "/bulk", word: "Bulk", Icon: Layers, key: "b", noun: "bulk" },
    ],
  },
  {
    title: "Catalog",
    items: [
      { to: "/workflows", word: "Workflows", Icon: Workflow, key: "w" },
      { to: "/agents", word: "Agents", Icon: Bot, key: "e" },
      { to: "/tools", word: "Tools", Icon: Wrench, key: "t" },
      { to: "/templates", word: "Templates", Icon: Blocks, key: "p", noun: "templates" },
    ],
  },
  {
    title: "System",
    items: [
      { to: "/workers", word: "Workers", Icon: Cpu, key: "k" },
      { to: "/audit", word: "Audit", Icon: ScrollText, key: "u" },
      { to: "/doctor", word: "Doctor", Icon: Stethoscope, key: "d", noun: "doctor" },
      { to: "/settings", word: "Settings", Icon: Settings, key: "s" },
    ],
  },
];
/** The available pages by group. `has`: which of the planned ones the API supports. */
export const places = (has: Record<keyof Later, boolean>): { title: string; items: Place[] }[] =>
  ALL.map(({ title, items }) => ({ title, items: items.filter((i) => !i.noun || has[i.noun]) }));
export const NAV = places(HAS);
