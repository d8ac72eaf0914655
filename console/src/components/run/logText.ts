/** A log line as one string. */
import type { Log } from "../../api/client";

const SDK = "temporalio.activity";
const SDK_MESSAGE = "Completing activity as failed"; // logged for every failed attempt, with the error among the fields
const WRAPPER = /^ApplicationError: (?=\w+: )/; // the SDK's class, wrapped around the error's own

export function textOf({ logger, message, fields }: Pick<Log, "logger" | "message" | "fields">): string {
  const extra: Record<string, unknown> = fields && typeof fields === "object" ? { ...fields } : {};
  let words = message ?? "";
  if (logger === SDK && words === SDK_MESSAGE && typeof extra.error === "string") {
    words = `Failed: ${extra.error.replace(WRAPPER, "")}`;
    delete extra.error;
  }
  const rest = Object.entries(extra).map(([k, v]) => `${k}=${typeof v === "string" ? v : JSON.stringify(v)}`);
  return [words, ...rest].join(" ");
}
