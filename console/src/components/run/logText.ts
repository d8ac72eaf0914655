/** A line of a log as one text. */
import type { Log } from "../../api/client";

const SDK = "temporalio.activity";
const SDKS_WORDS = "Completing activity as failed"; // for every failed try, with the error among the fields
const PACKED = /^ApplicationError: (?=\w+: )/; // the SDK's class around the error's own

export function textOf({ logger, message, fields }: Pick<Log, "logger" | "message" | "fields">): string {
  const found: Record<string, unknown> = fields && typeof fields === "object" ? { ...fields } : {};
  let words = message ?? "";
  if (logger === SDK && words === SDKS_WORDS && typeof found.error === "string") {
    words = `Failed: ${found.error.replace(PACKED, "")}`;
    delete found.error;
  }
  const rest = Object.entries(found).map(([k, v]) => `${k}=${typeof v === "string" ? v : JSON.stringify(v)}`);
  return [words, ...rest].join(" ");
}
