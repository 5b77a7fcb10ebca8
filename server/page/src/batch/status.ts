/** How a batch's status reads. */

import { BatchStatus, type BatchStatusResult } from "../contract/imagebatch/v1/types_pb";

export type BatchTone = "waiting" | "running" | "success" | "mixed" | "failed" | "skipped" | "paused";

const SHOWN: Readonly<Record<BatchStatus, readonly [BatchTone, string]>> = {
  [BatchStatus.UNSPECIFIED]: ["waiting", "Unknown"],
  [BatchStatus.PENDING]: ["waiting", "Pending"],
  [BatchStatus.PROCESSING]: ["running", "Processing"],
  [BatchStatus.COMPLETED]: ["success", "Completed"],
  [BatchStatus.FAILED]: ["failed", "Failed"],
  [BatchStatus.CANCELLED]: ["skipped", "Cancelled"],
  [BatchStatus.PARTIALLY_COMPLETED]: ["mixed", "Partially completed"],
};

export const BATCH_STATUSES = [
  BatchStatus.PENDING, BatchStatus.PROCESSING, BatchStatus.COMPLETED, BatchStatus.PARTIALLY_COMPLETED,
  BatchStatus.FAILED, BatchStatus.CANCELLED,
]; // prettier-ignore

export function shownStatus(batch: BatchStatusResult): readonly [BatchTone, string] {
  if (!isTerminal(batch)) {
    if (batch.cancelRequestedAt !== undefined) return ["skipped", "Cancelling"];
    if (batch.pausedAt !== undefined) return ["paused", "Paused"];
  }
  return SHOWN[batch.status] ?? SHOWN[BatchStatus.UNSPECIFIED];
}

export function statusName(status: BatchStatus): string {
  return SHOWN[status][1];
}

export function isTerminal(batch: BatchStatusResult): boolean {
  return batch.status > BatchStatus.PROCESSING;
}
