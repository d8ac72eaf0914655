import { Bot } from "lucide-react";
import { Text } from "../Text";
import { Field } from "./Field";
import classes from "./Letter.module.css";
import {
  emptyOf,
  relativeChange,
  isMoney,
  isRecord,
  labelOf,
  momentOf,
  own,
  shown,
  type Arguments,
  type Property,
} from "./schema";

interface Props {
  requested: Arguments;
  values: Arguments;
  properties: Record<string, Property>;
  /** The arguments that a model wrote. */
  authored: string[];
  /** The arguments of the last approval of this shape. */
  previous?: Arguments;
  edit: boolean;
  faults: Record<string, string>;
  onChange?(values: Arguments): void;
  /** The text typed for an argument can't be parsed, or can be parsed again. */
  onUnread?(name: string, broken: boolean): void;
}
const PROSE = 60; // characters; a longer text by a model is marked as written by the agent
const SHORT = 40; // characters; only shorter texts are compared with the last time

/** The difference from the last approval of this shape: the change of a number, the previous value of other short values. */
function Since({ property, value, last }: { property: Property | undefined; value: unknown; last: unknown }) {
  if (last === undefined || last === value) return null;
  if (typeof value === "number" && typeof last === "number") {
    const by = relativeChange(value, last);
    return (
      <span className={classes.delta}>
        {by && `${by} since last time: `}
        {shown(property, last)} → <b>{shown(property, value)}</b>
      </span>
    );
  }
  const short = (v: unknown) => v === null || typeof v === "boolean" || (typeof v === "string" && v.length <= SHORT);
  if (!short(value) || !short(last)) return null;
  return (
    <span className={classes.since}>
      last time: <Text>{shown(property, last)}</Text>
    </span>
  );
}
function Value({ property, value }: { property: Property | undefined; value: unknown }) {
  const text = <Text>{momentOf(property, value) ?? shown(property, value)}</Text>;
  if (isRecord(value)) return <pre className="mono">{text}</pre>;
  return (
    <span className={classes.value} data-none={value == null || undefined}>
      {text}
    </span>
  );
}

/** Arguments without a value, in one row: one row each would fill the card. */
function Empty({ names, properties }: { names: string[]; properties: Props["properties"] }) {
  return (
    <div>
      <dt>Empty</dt>
      <dd className={classes.empty}>
        {names.map((name, i) => (
          <span key={name} title={name}>
            <Text>{labelOf(name, own(properties, name))}</Text>
            {i < names.length - 1 && ","}
          </span>
        ))}
      </dd>
    </div>
  );
}

/** The arguments with the labels and units of the tool's schema, and the raw value beside a converted one. */
export function Call({ requested, values, properties, authored, previous, edit, faults, onChange, onUnread }: Props) {
  const entries = Object.entries(values);
  const empty = edit ? [] : emptyOf(values, requested, previous, faults);
  if (!entries.length) return <p className="muted">No arguments.</p>;
  return (
    <dl className={classes.args}>
      {entries.map(([key, value]) => {
        if (empty.includes(key)) return null;
        const p = own(properties, key);
        const was = own(requested, key);
        const changed = JSON.stringify(was) !== JSON.stringify(value);
        const fault = own(faults, key);
        const label = <Text>{labelOf(key, p)}</Text>;
        return (
          <div key={key} data-money={isMoney(p) || undefined}>
            <dt title={key}>{edit ? <label htmlFor={`argument-${key}`}>{label}</label> : label}</dt>
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
              ) : (
                <Value property={p} value={value} />
              )}
              {!edit && isMoney(p) && (
                <code>
                  {key} {String(value)}
                </code>
              )}
              {!edit && momentOf(p, value) && <code>{String(value)}</code>}
              {!edit && authored.includes(key) && typeof value === "string" && value.length > PROSE && (
                <span className={classes.authored}>
                  <Bot size={12} aria-hidden />
                  written by the agent
                </span>
              )}
              {!edit && changed && (
                <span className={classes.delta}>
                  changed from <Text>{shown(p, was)}</Text>
                </span>
              )}
              {!edit && !changed && <Since property={p} value={value} last={own(previous, key)} />}
              {fault && (
                <span className={classes.need} role="alert">
                  {fault}
                </span>
              )}
              {edit && p?.description && !isMoney(p) && (
                <span className={classes.hint}>
                  <Text>{p.description}</Text>
                </span>
              )}
            </dd>
          </div>
        );
      })}
      {empty.length > 0 && <Empty names={empty} properties={properties} />}
    </dl>
  );
}
