import { Section } from "../Page";
import { SkeletonRows, useLate } from "../States";
import { WORD } from "./Figures";
import classes from "./Overview.module.css";

/** The overview's skeleton while it loads. */
export function Shape() {
  const late = useLate();
  if (!late) return null;
  const rows = (title: string, number: number) => (
    <Section title={title}>
      <SkeletonRows rows={number} />
    </Section>
  );
  return (
    <div className={classes.page}>
      <span className="visually-hidden" role="status">
        Loading
      </span>
      <div className={classes.figures}>
        {Object.values(WORD).map((word) => (
          <div key={word} className={classes.figure} data-empty>
            <span>{word}</span>
            <i />
          </div>
        ))}
      </div>
      <div className={classes.two}>
        <div>{rows("Current runs", 6)}</div>
        <div>
          {rows("Coming up", 6)}
          {rows("Recent failures", 4)}
        </div>
      </div>
    </div>
  );
}
