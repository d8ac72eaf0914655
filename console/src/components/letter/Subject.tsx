import type { ApprovalDetail } from "../../api/client";
import { words } from "../../format";
import { Json } from "../Json";
import { Payload } from "../Payload";
import { Text } from "../Text";
import { Call } from "./Call";
import classes from "./Letter.module.css";
import { isRecord, type Arguments } from "./schema";

const LONG = 120; // characters; longer texts are shown as prose

/** The call's arguments by name; undefined if the payload is too large or has no names. */
export function argumentsOf({
  payload,
  parameters,
}: Pick<ApprovalDetail, "payload" | "parameters">): Arguments | undefined {
  if (payload?.form === "values")
    return Object.fromEntries(payload.values.map((v, i) => [parameters[i] ?? `argument ${i + 1}`, v]));
  return payload?.form === "value" && isRecord(payload.value) ? payload.value : undefined;
}
function Quote({ text, title }: { text: string; title?: string }) {
  return (
    <figure className={classes.prose}>
      {title && (
        <figcaption>
          <Text>{title}</Text>
        </figcaption>
      )}
      <blockquote>
        {text.split("\n\n").map((p, i) => (
          <p key={i}>
            <Text>{p}</Text>
          </p>
        ))}
      </blockquote>
    </figure>
  );
}
/** What a workflow shows in an approval of its own: long texts as prose, the rest as values. */
export function Subject({ payload }: Pick<ApprovalDetail, "payload">) {
  if (payload?.form !== "value") return <Payload payload={payload} />;
  const { value } = payload;
  if (typeof value === "string") return <Quote text={value} />;
  if (!isRecord(value)) return <Json value={value} />;
  const texts = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string" && entry[1].length > LONG,
  );
  const rest = Object.fromEntries(Object.entries(value).filter(([k]) => !texts.some(([t]) => t === k)));
  return (
    <>
      {Object.keys(rest).length > 0 && (
        <Call requested={rest} values={rest} properties={{}} authored={[]} edit={false} faults={{}} />
      )}
      {texts.map(([k, text]) => (
        <Quote key={k} title={words(k)} text={text} />
      ))}
    </>
  );
}
