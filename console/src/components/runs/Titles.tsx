import { useAgentTitle, useToolTitle, useWorkflowTitle } from "../catalog";
import { Text } from "../Text";

/** Titles in place of names. Each reads its catalog only where it is shown. */
export const WorkflowTitle = ({ name }: { name: string }) => <Text>{useWorkflowTitle()(name)}</Text>;
export const AgentTitle = ({ name }: { name: string }) => <Text>{useAgentTitle()(name)}</Text>;
export const ToolTitle = ({ name }: { name: string }) => <Text>{useToolTitle()(name)}</Text>;
