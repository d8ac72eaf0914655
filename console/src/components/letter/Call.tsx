import { Bot } from "lucide-react";
import classes from "./Letter.module.css";
import { Field } from "./Field";
import { isMoney, labelOf, shown, type Arguments, type Property } from "./schema";

interface Props {
  asked: Arguments;
  values: Arguments;
  properties: Record<string, Property>;
  /** The arguments that a model wrote. */
  authored: string[];
  /** What the last approval of this shape had. */
  previous?: Arguments;
  edit: boolean;
  faults: Record<string, string>;
  onChange?(values: Arguments): void;
  /** What is typed for an argument is no JSON, or is again. */
  onUnread?(name: string, broken: boolean): void;
}
const PROSE = 60; // characters from which a text of a model is marked as its own words

/** The arguments by the labels and units of the tool's schema, with the raw name beside a converted value. */
export function Call({ asked, values, properties, authored, previous, edit, faults, onChange, onUnread }: Props) {
  const entries = Object.entries(values);
  if (!entries.length) return <p className="muted">It takes no arguments.</p>;
  return (
    <dl className={classes.args}>
      {entries.map(([key, value]) => {
        const p = properties[key];
        const changed = JSON.stringify(asked[key]) !== JSON.stringify(value);
        const raw = typeof value === "object" && value !== null && !Array.isArray(value);
        return (
          <div key={key} data-money={isMoney(p) || undefined}>
            <dt title={key}>{edit ? <label htmlFor={`argument-${key}`}>{labelOf(key, p)}</label> : labelOf(key, p)}</dt>
            <dd>
              {edit ? (
                <span className={classes.input}>
                  <Field
                    id={`argument-${key}`}
                    property={p}
                    value={value}
                    onChange={(v) => onChange?.({ ...values, [key]: v })}
                    onUnread={(broken) => onUnread?.(key, broken)}
                  />
                </span>
              ) : raw ? (
                <pre className="mono">{shown(p, value)}</pre>
              ) : (
                <span className={classes.value}>{shown(p, value)}</span>
              )}
              {!edit && isMoney(p) && (
                <code>
                  {key} {String(value)}
                </code>
              )}
              {!edit && authored.includes(key) && typeof value === "string" && value.length > PROSE && (
                <span className={classes.authored}>
                  <Bot size={12} aria-hidden />
                  written by the agent
                </span>
              )}
              {!edit && changed && (
                <span className={classes.delta}>you changed it; asked was {shown(p, asked[key])}</span>
              )}
              {!edit &&
                !changed &&
                isMoney(p) &&
                previous &&
                typeof previous[key] === "number" &&
                previous[key] !== value && (
                  <span className={classes.delta}>{shown(p, previous[key])} the last time</span>
                )}
              {faults[key] && (
                <span className={classes.need} role="alert">
                  {faults[key]}
                </span>
              )}
              {edit && p?.description && <span className={classes.hint}>{p.description}</span>}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
