import { Bot, Cpu, House, Inbox, Play, ScrollText, Settings, Workflow, Wrench, type LucideIcon } from "lucide-react";

export interface Place {
  to: string;
  word: string;
  Icon: LucideIcon;
  /** What follows G on the keyboard. */
  key: string;
}

/** The places of the console, by group. */
export const NAV: { title: string; items: Place[] }[] = [
  {
    title: "Operate",
    items: [
      { to: "/", word: "Overview", Icon: House, key: "o" },
      { to: "/approvals", word: "Approvals", Icon: Inbox, key: "a" },
      { to: "/runs", word: "Runs", Icon: Play, key: "r" },
    ],
  },
  {
    title: "Catalog",
    items: [
      { to: "/workflows", word: "Workflows", Icon: Workflow, key: "w" },
      { to: "/agents", word: "Agents", Icon: Bot, key: "e" },
      { to: "/tools", word: "Tools", Icon: Wrench, key: "t" },
    ],
  },
  {
    title: "System",
    items: [
      { to: "/workers", word: "Workers", Icon: Cpu, key: "k" },
      { to: "/audit", word: "Audit", Icon: ScrollText, key: "u" },
      { to: "/settings", word: "Settings", Icon: Settings, key: "s" },
    ],
  },
];
