/** The open page's actions, for the palette. They run on the page, with its dialogs and confirmations. */
import type { LucideIcon } from "lucide-react";
import { useEffect, useRef, type RefObject } from "react";

export interface Offer {
  word: string;
  Icon: LucideIcon;
  /** What it does, or why it is unavailable. */
  more?: string;
  keys?: string[];
  /** Undefined if it is unavailable. */
  act?(): void;
}
interface Offers {
  /** `This run`. */
  title: string;
  offers: Offer[];
}
const pages = new Set<RefObject<Offers>>();

export function useOffers(title: string, offers: Offer[]) {
  const latest = useRef({ title, offers });
  latest.current = { title, offers };
  useEffect(() => {
    pages.add(latest);
    return () => void pages.delete(latest);
  }, []);
}
export const offered = (): Offers[] => [...pages].map((page) => page.current);
