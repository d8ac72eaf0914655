import { useAgentTitle, useToolTitle, useWorkflowTitle } from "../catalog";
import { Text } from "../Text";

/** Titles for names. Each loads its catalog only if it is rendered. */
export const WorkflowTitle = ({ name }: { name: string }) => <Text>{useWorkflowTitle()(name)}</Text>;
export const AgentTitle = ({ name }: { name: string }) => <Text>{useAgentTitle()(name)}</Text>;
export const ToolTitle = ({ name }: { name: string }) => <Text>{useToolTitle()(name)}</Text>;
