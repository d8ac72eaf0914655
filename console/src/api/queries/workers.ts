import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

export type Worker = components["schemas"]["WorkerOut"];
export type TaskQueue = components["schemas"]["TaskQueueOut"];
const EVERY = 10_000; // Temporal doesn't push changes

export const list = () =>
  queryOptions({
    queryKey: ["workers"],
    queryFn: () => unwrap(client.GET("/api/v1/workers")),
    refetchInterval: EVERY,
  });
export const queues = () =>
  queryOptions({
    queryKey: ["queues"],
    queryFn: () => unwrap(client.GET("/api/v1/task-queues")),
    refetchInterval: EVERY,
  });
