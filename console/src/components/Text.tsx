import { parts, rightToLeft } from "../unseen";
import classes from "./Text.module.css";

/** Text written by people, agents or tools: invisible characters are named, look-alike letters are marked. */
export function Text({ children: text }: { children: string }) {
  const marked = parts(text).map((p, i) =>
    typeof p === "string" ? (
      p
    ) : (
      <mark
        key={i}
        className={classes[p.why]}
        title={p.why === "unseen" ? "An invisible character" : "A letter from another alphabet"}
      >
        {p.text}
      </mark>
    ),
  );
  // Isolates right-to-left text, so that it doesn't reorder what is beside it.
  return rightToLeft(text) ? <bdi>{marked}</bdi> : <>{marked}</>;
}
