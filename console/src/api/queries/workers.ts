import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";
import type { components } from "../schema";

export type Worker = components["schemas"]["WorkerOut"];
export type TaskQueue = components["schemas"]["TaskQueueOut"];
const EVERY = 10_000; // Temporal tells of no change by itself

export const list = () =>
  queryOptions({
    queryKey: ["workers"],
    queryFn: () => ask(client.GET("/api/v1/workers")),
    refetchInterval: EVERY,
  });
export const queues = () =>
  queryOptions({
    queryKey: ["queues"],
    queryFn: () => ask(client.GET("/api/v1/task-queues")),
    refetchInterval: EVERY,
  });
