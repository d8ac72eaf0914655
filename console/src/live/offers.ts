/** What the open page offers to do, for the palette. It is done where it is offered, with all that is asked there. */
import type { LucideIcon } from "lucide-react";
import { useEffect, useRef, type RefObject } from "react";

export interface Offer {
  word: string;
  Icon: LucideIcon;
  /** What it does, or why it can't be done now. */
  more?: string;
  keys?: string[];
  /** Missing: it can't be done now. */
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
