import { sentence } from "../format";
import { Text } from "./Text";

/** A rule's title and reason in its author's words, each as a sentence. */
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
