/** What can be done with a batch. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { batches, explained, has } from "../api";
import { BatchStatus, type BatchStatusResult } from "../contract/imagebatch/v1/types_pb";
import { count, items } from "../format";
import { requestId } from "../ids";
import { go, link } from "../route";
import { Confirm } from "../ui/confirm";
import { Icon, type IconName } from "../ui/icons";
import { Trouble } from "../ui/parts";
import { Export } from "./export";
import { isTerminal } from "./status";

interface Props {
  readonly batch: BatchStatusResult;
  readonly onStatus: (status: BatchStatusResult) => void;
}

type Asked = "cancel" | "delete" | undefined;

export function Actions({ batch, onStatus }: Props): JSX.Element {
  const [trouble, setTrouble] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const [asked, setAsked] = useState<Asked>();
  const { batchId } = batch;

  const run = async (call: () => Promise<BatchStatusResult | undefined>) => {
    setBusy(true);
    setTrouble(undefined);
    try {
      const status = await call();
      if (status !== undefined) onStatus(status);
    } catch (error) {
      setTrouble(explained(error));
    } finally {
      setBusy(false);
    }
  };
  const button = (name: string, icon: IconName, act: () => void, tone = "") => (
    <button type="button" class={`button ${tone}`} disabled={isBusy} onClick={act}>
      <Icon name={icon} />
      {name}
    </button>
  );

  const isRunning = !isTerminal(batch);
  const isEnding = batch.cancelRequestedAt !== undefined;
  const canRetry = [BatchStatus.FAILED, BatchStatus.PARTIALLY_COMPLETED].includes(batch.status);
  const retry = () => run(() => batches.retryBatch({ batchId, requestId: requestId() }));
  const remove = async () => {
    await batches.deleteBatch({ batchId });
    go(link(["batches"]));
    return undefined;
  };
  return (
    <div class="actions">
      {canRetry && button(`Retry ${count(batch.failedItems)} failed`, "retry", retry, "primary")}
      {isRunning &&
        !isEnding &&
        has("pause_batch") &&
        batch.pausedAt === undefined &&
        button("Pause", "pause", () => run(() => batches.pauseBatch({ batchId })))}
      {isRunning &&
        !isEnding &&
        batch.pausedAt !== undefined &&
        button("Resume", "play", () => run(() => batches.resumeBatch({ batchId })), "primary")}
      {isRunning && !isEnding && button("Cancel", "stop", () => setAsked("cancel"))}
      <Export batch={batch} />
      {!isRunning && button("Delete", "trash", () => setAsked("delete"), "danger")}
      <Trouble>{trouble}</Trouble>
      {asked === "cancel" && (
        <Confirm
          title="Cancel this batch?"
          yes="Cancel the batch"
          no="Let it run"
          onYes={() => run(() => batches.cancelBatch({ batchId }))}
          onClose={() => setAsked(undefined)}
        >
          <p>
            {items(batch.totalItems - batch.processedItems)} without an outcome will be skipped. What is done is kept,
            and a cancelled batch can’t be taken up again.
          </p>
        </Confirm>
      )}
      {asked === "delete" && (
        <Confirm
          title="Delete this batch?"
          yes={`Delete ${items(batch.totalItems)}`}
          no="Keep it"
          onYes={() => run(remove)}
          onClose={() => setAsked(undefined)}
        >
          <p>The batch, its results and the images that were stored for it will be gone for everybody, and for good.</p>
        </Confirm>
      )}
    </div>
  );
}
