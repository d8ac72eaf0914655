import { bytes } from "../format";
import { Json } from "./Json";
import { Hidden } from "./States";
import { Text } from "./Text";

/** A stored payload: one value, the values of several arguments, the start of a large value, or bytes that couldn't be decoded. */
interface Stored {
  form?: string;
  value?: unknown;
  values?: unknown[];
  preview?: string;
  size?: number;
  bytes?: number;
  encoding?: string;
}

export function Payload({ payload, visible = true, href }: { payload: unknown; visible?: boolean; href?: string }) {
  if (!visible) return <Hidden />;
  if (payload == null) return <p className="muted">No value.</p>;
  const stored = payload as Stored;
  if (stored.form === "value" || "value" in stored) return <Json value={stored.value} />;
  if (stored.form === "values" || "values" in stored)
    return stored.values?.length === 1 ? <Json value={stored.values[0]} /> : <Json value={stored.values} />;
  const size = stored.size ?? stored.bytes;
  if (stored.form === "preview" || "preview" in stored)
    return (
      <>
        <p className="muted">The start of a large value{size !== undefined && `, ${bytes(size)} in total`}.</p>
        <pre className="mono">
          <Text>{stored.preview ?? ""}</Text>
        </pre>
        {href && (
          <a href={href} download className="link">
            Download the full value
          </a>
        )}
      </>
    );
  if (stored.form === "opaque")
    return (
      <p className="muted">
        Binary data in an encoding that can’t be decoded here{stored.encoding && `: ${stored.encoding}`}.
      </p>
    );
  return <Json value={payload} />;
}
