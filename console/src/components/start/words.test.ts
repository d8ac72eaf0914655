import { expect, it } from "vitest";
import { startCommand } from "./words";

const command = (input_schema: Record<string, unknown>) => startCommand({ name: "digest", input_schema });

it("offers a command only where it works as it is written", () => {
  expect(command({ type: "null" })).toBe("agentgrid run start digest");
  expect(command({ type: "object", properties: {} })).toBe("agentgrid run start digest --input '{}'");
  expect(command({ type: "object", required: ["ticket_id"] })).toBeUndefined();
  expect(command({ anyOf: [{ type: "object" }] })).toBeUndefined();
});
