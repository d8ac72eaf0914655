import { useEffect, useRef, useState } from "react";

const BY_HAND = "Select and copy";
type Said = "Copied" | typeof BY_HAND;
const SAID = 3_000; // milliseconds: copied again, it is said again, and not of what has changed since

/** Copies a text. Where the browser has no clipboard or refuses it, what `ref` holds is selected instead, to be copied by hand. */
export function useCopy() {
  const [last, setLast] = useState<{ said: Said }>();
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    if (last?.said === "Copied") {
      const timer = setTimeout(() => setLast(undefined), SAID);
      return () => clearTimeout(timer);
    }
    const at = ref.current;
    if (last?.said !== BY_HAND || !at) return;
    at.focus({ preventScroll: true });
    if (at instanceof HTMLTextAreaElement) at.select();
    else getSelection()?.selectAllChildren(at);
  }, [last]);
  const byHand = () => setLast({ said: BY_HAND });
  return {
    said: last?.said,
    byHand: last?.said === BY_HAND,
    ref,
    copy(text: string) {
      if (!navigator.clipboard) return byHand();
      navigator.clipboard.writeText(text).then(() => setLast({ said: "Copied" }), byHand);
    },
    forget: () => setLast(undefined),
  };
}
