/** The start of a run by a form: one key a form, so that asking again never starts a second run. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef } from "react";
import { ApiError, Away } from "../../api/client";
import { start, type RunStart } from "../../api/queries/workflows";

const AGAIN = 2;
/** Whether it isn't known what became of the request. */
const isUnknown = (error: Error) => error instanceof Away || (error instanceof ApiError && error.status >= 500);

export function useStart(workflow: string) {
  const key = useRef(crypto.randomUUID());
  const asking = useRef(false); // a double click comes before the button is drawn as busy
  const queries = useQueryClient();
  const go = useNavigate();
  const mutation = useMutation({
    mutationFn: (body: RunStart) => start(workflow, body, key.current),
    retry: (n, error) => n < AGAIN && isUnknown(error),
    onError: () => {
      asking.current = false;
    },
    onSuccess: async (run) => {
      for (const noun of ["runs", "workflows", "overview"]) void queries.invalidateQueries({ queryKey: [noun] });
      await go({ to: "/runs/$id", params: { id: run.run_id } });
    },
  });
  const error = mutation.error;
  return {
    start: (body: RunStart) => {
      if (asking.current) return;
      asking.current = true;
      mutation.mutate(body);
    },
    /** Started, or on its way: nothing more can be asked of this form. */
    busy: mutation.isPending || mutation.isSuccess,
    error,
    /** Whether it may have been started nevertheless. */
    unknown: !!error && isUnknown(error),
    faults: error instanceof ApiError ? error.problem.faults : undefined,
    asked: mutation.variables,
    /** An earlier press of this form's button has started a run, with another input. */
    startedBefore: error instanceof ApiError && error.problem.code === "idempotency_conflict",
    /** Let the form start one more run. */
    renew: () => {
      key.current = crypto.randomUUID();
      mutation.reset();
    },
  };
}
