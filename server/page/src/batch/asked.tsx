/** What was asked for when the batch was submitted, for those who want to know why it runs as it does. */

import type { JSX } from "preact";

import type { BatchStatusResult } from "../contract/imagebatch/v1/types_pb";
import { count, duration, items, moment, percent } from "../format";
import { Detail } from "../ui/parts";

export function Asked({ batch }: { readonly batch: BatchStatusResult }): JSX.Element {
  const parameters = Object.entries(batch.parameters ?? {}).sort(([one], [other]) => (one < other ? -1 : 1));
  const { itemTimeout, failureLimit } = batch;
  return (
    <details class="asked">
      <summary>What was asked</summary>
      <dl class="details">
        <Detail name="Batch">
          <code>{batch.batchId}</code>
        </Detail>
        <Detail name="Operation">{batch.operation}</Detail>
        {parameters.map(([name, value]) => (
          <Detail name={name} key={name}>
            <code>{typeof value === "string" ? value : JSON.stringify(value)}</code>
          </Detail>
        ))}
        <Detail name="Priority">{batch.priority} of 10</Detail>
        <Detail name="Attempts">at most {count(batch.maxAttempts)} an item</Detail>
        <Detail name="Time limit">
          {itemTimeout && `${duration(Number(itemTimeout.seconds) * 1000 + itemTimeout.nanos / 1e6)} an attempt`}
        </Detail>
        <Detail name="Canary">{batch.canary !== undefined && `${items(batch.canary)} first`}</Detail>
        <Detail name="Failure limit">
          {failureLimit !== undefined && `the rest is skipped once more than ${percent(failureLimit)} have failed`}
        </Detail>
        <Detail name="Submitted">{batch.createdAt && moment(batch.createdAt)}</Detail>
        <Detail name="Begun">{batch.startedAt && moment(batch.startedAt)}</Detail>
        <Detail name="Paused">{batch.pausedAt && moment(batch.pausedAt)}</Detail>
        <Detail name="Cancelled">{batch.cancelRequestedAt && moment(batch.cancelRequestedAt)}</Detail>
        <Detail name="Ended">{batch.completedAt && moment(batch.completedAt)}</Detail>
        <Detail name="Request">{batch.requestId && <code>{batch.requestId}</code>}</Detail>
      </dl>
    </details>
  );
}
