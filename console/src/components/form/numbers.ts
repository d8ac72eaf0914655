/** Typed numbers. Text that isn't a number yet, or that a browser would round, stays text, and the check reports it at its field. */
const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const MONEY = /^(-?)(\d+)(?:\.(\d{1,2})?)?$/;
const WHOLE = /^-?\d+$/;

export function numberOf(text: string): number | string | undefined {
  const plain = text.trim();
  if (!plain) return undefined;
  if (!NUMBER.test(plain)) return text;
  const value = Number(plain);
  return Number.isFinite(value) && (!WHOLE.test(plain) || Number.isSafeInteger(value)) ? value : plain;
}
/** `50`, `50.5` and `50.00` as cents. */
export function moneyOf(text: string): number | string | undefined {
  const plain = text.trim();
  if (!plain) return undefined;
  const [, sign, whole, part = ""] = MONEY.exec(plain) ?? [];
  if (whole === undefined) return text;
  const cents = Number(`${sign}${whole}${part.padEnd(2, "0")}`);
  return Number.isSafeInteger(cents) ? cents : text;
}
export const moneyText = (cents: number) => (Number.isInteger(cents) ? (cents / 100).toFixed(2) : String(cents));
/** Whether a browser has rounded it, or would. */
export const isRounded = (value: unknown) =>
  typeof value === "number"
    ? Number.isInteger(value) && !Number.isSafeInteger(value)
    : typeof value === "string" && WHOLE.test(value) && !Number.isSafeInteger(Number(value));
