import { useEffect, useRef, useState } from "react";

const BY_HAND = "Select and copy";
type Message = "Copied" | typeof BY_HAND;
const SHOWN = 3_000; // milliseconds; it disappears so that the next copy is announced again

/** Copies a text. If the browser has no clipboard or refuses access, the content of `ref` is selected instead, to be copied by hand. */
export function useCopy() {
  const [last, setLast] = useState<{ message: Message }>();
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    if (last?.message === "Copied") {
      const timer = setTimeout(() => setLast(undefined), SHOWN);
      return () => clearTimeout(timer);
    }
    const at = ref.current;
    if (last?.message !== BY_HAND || !at) return;
    at.focus({ preventScroll: true });
    if (at instanceof HTMLTextAreaElement) at.select();
    else getSelection()?.selectAllChildren(at);
  }, [last]);
  const byHand = () => setLast({ message: BY_HAND });
  return {
    message: last?.message,
    byHand: last?.message === BY_HAND,
    ref,
    copy(text: string) {
      if (!navigator.clipboard) return byHand();
      navigator.clipboard.writeText(text).then(() => setLast({ message: "Copied" }), byHand);
    },
    forget: () => setLast(undefined),
  };
}
