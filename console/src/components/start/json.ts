export const toText = (value: unknown) => JSON.stringify(value ?? null, null, 2);

/** Parses typed JSON: its value, or what is wrong with it. A number that a browser would round is refused. */
export function parseJson(text: string): { value: unknown } | { fault: string } {
  let rounded: string | undefined;
  // The third argument has the source text; in a browser without it, nothing is refused.
  const reviver = (_: string, v: unknown, context?: { source?: string }) => {
    if (
      typeof v === "number" &&
      Number.isInteger(v) &&
      !Number.isSafeInteger(v) &&
      /^-?\d+$/.test(context?.source ?? "")
    )
      rounded = context!.source;
    return v;
  };
  try {
    const value: unknown = text.trim() ? JSON.parse(text, reviver as Parameters<typeof JSON.parse>[1]) : null;
    if (rounded)
      return { fault: `A browser would round ${rounded}. Start the run with the CLI, or send it as a string.` };
    return { value };
  } catch (error) {
    const at = /position (\d+)/.exec((error as Error).message)?.[1];
    const line = at && text.slice(0, Number(at)).split("\n").length;
    return { fault: `Invalid JSON${line ? `, line ${line}` : ""}. The form keeps the last valid value.` };
  }
}
