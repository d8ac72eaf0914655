/** Starts a run from a form: one idempotency key per form, so that retrying never starts a second run. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef } from "react";
import { ApiError, Away } from "../../api/client";
import { start, type RunStart } from "../../api/queries/workflows";

const RETRIES = 2;
/** Whether the outcome of the request is unknown. */
const isUnknown = (error: Error) => error instanceof Away || (error instanceof ApiError && error.status >= 500);

export function useStart(workflow: string) {
  const key = useRef(crypto.randomUUID());
  const submitting = useRef(false); // a double click can come before the button renders as busy
  const queries = useQueryClient();
  const go = useNavigate();
  const mutation = useMutation({
    mutationFn: (body: RunStart) => start(workflow, body, key.current),
    retry: (n, error) => n < RETRIES && isUnknown(error),
    onError: () => {
      submitting.current = false;
    },
    onSuccess: async (run) => {
      for (const noun of ["runs", "workflows", "overview"]) void queries.invalidateQueries({ queryKey: [noun] });
      await go({ to: "/runs/$id", params: { id: run.run_id } });
    },
  });
  const error = mutation.error;
  return {
    start: (body: RunStart) => {
      if (submitting.current) return;
      submitting.current = true;
      mutation.mutate(body);
    },
    /** Started, or starting: the form can't be submitted again. */
    busy: mutation.isPending || mutation.isSuccess,
    error,
    /** Whether the run may have started anyway. */
    unknown: !!error && isUnknown(error),
    faults: error instanceof ApiError ? error.problem.faults : undefined,
    submitted: mutation.variables,
    /** An earlier submission of this form started a run with different input. */
    startedBefore: error instanceof ApiError && error.problem.code === "idempotency_conflict",
    /** Let the form start one more run. */
    renew: () => {
      key.current = crypto.randomUUID();
      mutation.reset();
    },
  };
}
