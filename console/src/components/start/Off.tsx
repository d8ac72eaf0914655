import { Power } from "lucide-react";
import type { WorkflowDetail } from "../../api/client";
import { exact } from "../../format";
import classes from "../../screens/Workflow.module.css";
import { Ago } from "../Bits";
import { Strip } from "../States";
import { Text } from "../Text";

/** The notice that a workflow is switched off: by whom, since when and why. */
export function Off({ workflow: w }: { workflow: WorkflowDetail }) {
  return (
    <div className={classes.off}>
      <Strip tone="person" icon={<Power size={15} />}>
        Switched off
        {w.switch.created_by && (
          <>
            {" "}
            by <Text>{w.switch.created_by}</Text>
          </>
        )}
        {w.switch.created_at && (
          <span title={exact(w.switch.created_at)}>
            , <Ago at={w.switch.created_at} />
          </span>
        )}
        {w.switch.reason && (
          <>
            : <Text>{w.switch.reason}</Text>
          </>
        )}
        . It can’t be started, and every tool call of its runs fails.
      </Strip>
    </div>
  );
}
