/** Queries and mutations by noun. Query keys begin with the noun, so that an event can invalidate every query of that noun. */
export * as agents from "./agents";
export * as approvals from "./approvals";
export * as commands from "./commands";
export * as keys from "./keys";
export * as mcpServers from "./mcp_servers";
export * as me from "./me";
export * as policies from "./policies";
export * as principals from "./principals";
export * as runs from "./runs";
export * as search from "./search";
export * as sessions from "./sessions";
export * as signingKeys from "./signing_keys";
export * as tools from "./tools";
export * as views from "./views";
export * as workers from "./workers";
export * as workflows from "./workflows";
