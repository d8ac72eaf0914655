import { useRef } from "react";

/** An idempotency key per body: resending the same body reuses the key, a changed body gets a new one. */
export function useKey() {
  const last = useRef({ body: "", key: "" });
  return (body: unknown) => {
    const text = JSON.stringify(body);
    if (text !== last.current.body) last.current = { body: text, key: crypto.randomUUID() };
    return last.current.key;
  };
}
