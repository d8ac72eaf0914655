import { sentence } from "../format";
import { Text } from "./Text";

/** Why a rule is so, in its author's words: the title, then the reason, each as a sentence. */
export const Why = ({ title, reason }: { title: string | null; reason: string | null }) => (
  <>
    {title && (
      <b>
        <Text>{sentence(title)}</Text>.{" "}
      </b>
    )}
    {reason && (
      <>
        <Text>{sentence(reason)}</Text>.{" "}
      </>
    )}
  </>
);
