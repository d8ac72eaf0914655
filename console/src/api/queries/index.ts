/** What can be asked, by noun. Keys begin with the noun, so that an event can mark all of a noun as old. */
export * as agents from "./agents";
export * as approvals from "./approvals";
export * as me from "./me";
export * as policies from "./policies";
export * as runs from "./runs";
export * as tools from "./tools";
export * as workflows from "./workflows";
