import { parts, rightToLeft } from "../unseen";
import classes from "./Text.module.css";

/** A text that people, agents or tools wrote: characters that can't be seen are named, letters that look like others are marked. */
export function Text({ children: text }: { children: string }) {
  const marked = parts(text).map((p, i) =>
    typeof p === "string" ? (
      p
    ) : (
      <mark
        key={i}
        className={classes[p.why]}
        title={p.why === "unseen" ? "A character that can’t be seen" : "This letter is of another alphabet"}
      >
        {p.text}
      </mark>
    ),
  );
  // So that a text from right to left changes the order of nothing beside it.
  return rightToLeft(text) ? <bdi>{marked}</bdi> : <>{marked}</>;
}
