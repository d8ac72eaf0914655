import { useRef } from "react";

/** An idempotency key for a body: the same body sent again repeats nothing, a changed one is another request. */
export function useKey() {
  const last = useRef({ body: "", key: "" });
  return (body: unknown) => {
    const text = JSON.stringify(body);
    if (text !== last.current.body) last.current = { body: text, key: crypto.randomUUID() };
    return last.current.key;
  };
}
