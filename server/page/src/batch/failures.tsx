/** What failed, by reason, and how to try it again. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { batches, explained } from "../api";
import { BatchStatus, type BatchStatusResult, ItemErrorCode } from "../contract/imagebatch/v1/types_pb";
import { count } from "../format";
import { requestId } from "../ids";
import { codeOf, reason } from "../items";
import { Icon } from "../ui/icons";
import { Empty, Trouble } from "../ui/parts";

/** What to do about a failure, in a sentence. */
const ADVICE: Readonly<Partial<Record<ItemErrorCode, string>>> = {
  [ItemErrorCode.FETCH_FAILED]: "The host was away or answered with an error. Try again once it is back.",
  [ItemErrorCode.FETCH_FORBIDDEN]:
    "The address is one that this server doesn’t fetch from. Upload these images instead.",
  [ItemErrorCode.OBJECT_NOT_FOUND]: "The upload never came, or has expired. Upload these images again in a new batch.",
  [ItemErrorCode.TOO_LARGE]: "Make these images smaller, or ask the operator for a higher limit.",
  [ItemErrorCode.UNSUPPORTED_FORMAT]: "These files hold no image of a format that is read here.",
  [ItemErrorCode.DECODE_FAILED]: "These files are cut off or damaged. Bring them again from where they came.",
  [ItemErrorCode.TIMEOUT]: "Each attempt took longer than the batch’s time limit for an item.",
  [ItemErrorCode.PROVIDER_ERROR]: "The service behind the operation refused or failed. Try again later.",
  [ItemErrorCode.WORKER_CRASHED]: "The process that worked on these ended. The server’s log may say why.",
  [ItemErrorCode.INTERNAL]: "A defect of the server or the operation. The server’s log has the cause.",
};

interface Props {
  readonly batch: BatchStatusResult;
  readonly onStatus: (status: BatchStatusResult) => void;
}

export function Failures({ batch, onStatus }: Props): JSX.Element {
  const [trouble, setTrouble] = useState<string>();
  const counts = Object.entries(batch.failureCounts).sort(([, one], [, other]) => other - one);
  if (counts.length === 0) {
    return (
      <Empty icon="success" title="Nothing has failed">
        <p>Items that fail are gathered here by their reason.</p>
      </Empty>
    );
  }
  const canRetry = [BatchStatus.FAILED, BatchStatus.PARTIALLY_COMPLETED].includes(batch.status);
  const retry = async (code: ItemErrorCode) => {
    setTrouble(undefined);
    try {
      onStatus(await batches.retryBatch({ batchId: batch.batchId, errorCodes: [code], requestId: requestId() }));
    } catch (error) {
      setTrouble(explained(error));
    }
  };
  return (
    <section class="failures" aria-label="Failures by reason">
      <Trouble>{trouble}</Trouble>
      {counts.map(([name, items]) => {
        const code = codeOf(name);
        return (
          <article class="panel failure" key={name}>
            <strong class="many">{count(items)}</strong>
            <div>
              <h2>
                {reason(code) || name} <code>{name}</code>
              </h2>
              <p>{ADVICE[code]}</p>
            </div>
            {canRetry && code !== ItemErrorCode.UNSPECIFIED && (
              <button type="button" class="button" onClick={() => retry(code)}>
                <Icon name="retry" />
                Retry {count(items)}
              </button>
            )}
          </article>
        );
      })}
    </section>
  );
}
