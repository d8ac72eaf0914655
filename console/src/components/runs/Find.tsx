import { Search } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useKeys } from "../../live/keys";
import { Kbd } from "../Button";

const TYPING = 200; // milliseconds

/** The search field. The URL is updated when typing pauses. */
export function Find({ words, onChange }: { words: string; onChange(words: string): void }) {
  const [typed, setTyped] = useState(words);
  const box = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => box.current?.focus() });
  useEffect(() => setTyped((t) => (t.trim() === words ? t : words)), [words]);
  useEffect(() => {
    const timer = setTimeout(() => typed.trim() !== words && onChange(typed.trim()), TYPING);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <label>
      <Search size={14} aria-hidden />
      <input
        ref={box}
        value={typed}
        maxLength={200}
        onChange={(e) => setTyped(e.target.value)}
        placeholder="Subject, reference or end of an id"
        aria-label="Search runs"
      />
      <Kbd>/</Kbd>
    </label>
  );
}
