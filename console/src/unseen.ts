/** Text by people, agents and tools may contain characters that are invisible, reorder others, or look like others. */

/** Control (except tab and line feed), format (bidi marks, zero-width, tags), surrogate, private, unassigned; separators; blank letters. */
const UNSEEN =
  /(?![\t\n])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029\u115f\u1160\u2800\u3164\uffa0]|[\u034f]|[\u17b4]|[\u17b5]/gu;
/** Letters of other scripts within a Latin word: `pаypal` with a Cyrillic а. */
const WORD = /\p{L}+/gu;
const LATIN = /\p{sc=Latin}/u;
const FOREIGN = /[\p{sc=Cyrillic}\p{sc=Greek}]/u;
/** Joiners are legitimate between letters of these scripts, and within an emoji. */
const JOINER =
  /(?<=[\p{Extended_Pictographic}\p{EMod}\ufe0f])\u200d(?=\p{Extended_Pictographic})|(?<=[\p{sc=Arabic}\p{sc=Devanagari}\p{sc=Bengali}\p{sc=Gujarati}\p{sc=Gurmukhi}\p{sc=Kannada}\p{sc=Khmer}\p{sc=Malayalam}\p{sc=Oriya}\p{sc=Sinhala}\p{sc=Syriac}\p{sc=Tamil}\p{sc=Telugu}])[\u200c\u200d](?=[\p{L}\p{M}])/gu;
const PLAIN = /^[\t\n\x20-\x7e\xa0-\xac\xae-\u024f\u2010-\u2027\u2030-\u205e]*$/; // most texts are
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;

interface Marked {
  text: string;
  /** Why it is marked: it is invisible, or it looks like another letter. */
  why: "unseen" | "alike";
}
const number = (char: string) => `U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;

/** Splits the text into plain and marked parts. */
export function parts(text: string): (string | Marked)[] {
  if (PLAIN.test(text)) return text ? [text] : [];
  const hidden = new Set([...text.matchAll(UNSEEN)].map((m) => m.index));
  const joiners = new Set([...text.matchAll(JOINER)].map((m) => m.index));
  const mixed = [...text.matchAll(WORD)]
    .filter(([w]) => FOREIGN.test(w) && LATIN.test(w))
    .map((m) => [m.index, m.index + m[0].length] as const);
  const result: (string | Marked)[] = [];
  let plain = "";
  let at = 0;
  let word = 0;
  for (const char of text) {
    while (word < mixed.length && mixed[word]![1] <= at) word++;
    const alike = word < mixed.length && mixed[word]![0] <= at && FOREIGN.test(char);
    const unseen = hidden.has(at) && !joiners.has(at);
    if (alike || unseen) {
      if (plain) result.push(plain);
      result.push(alike ? { text: char, why: "alike" } : { text: number(char), why: "unseen" });
      plain = "";
    } else plain += char;
    at += char.length;
  }
  if (plain) result.push(plain);
  return result;
}
/** The text for places without elements, such as labels: invisible characters are named in brackets. */
export const visible = (text: string) =>
  parts(text)
    .map((p) => (typeof p === "string" ? p : p.why === "alike" ? p.text : `[${p.text}]`))
    .join("");
/** JSON text with invisible characters as JSON escapes. */
export const escaped = (json: string) =>
  PLAIN.test(json)
    ? json
    : json.replace(UNSEEN, (char) =>
        Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`).join(
          "",
        ),
      );
export const rightToLeft = (text: string) => RIGHT_TO_LEFT.test(text);
