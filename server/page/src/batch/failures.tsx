/** What failed, in clusters of the same reason, and how to try it again. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { batches, explained, has } from "../api";
import type { FailureCluster } from "../contract/imagebatch/v1/batch_service_pb";
import {
  type BatchItemResult,
  BatchStatus,
  type BatchStatusResult,
  ItemErrorCode,
} from "../contract/imagebatch/v1/types_pb";
import { ago, count } from "../format";
import { requestId } from "../ids";
import { codeName, codeOf, nameOf, reason } from "../items";
import { link } from "../route";
import { useNow, usePolling } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { Empty, Trouble } from "../ui/parts";
import { Thumbnail } from "./picture";
import { isTerminal } from "./status";

const EVERY_MS = 3_000;
const MOST = 200;
const SAMPLES = 6;

/** What to do about a failure, in a sentence. */
const ADVICE: Readonly<Partial<Record<ItemErrorCode, string>>> = {
  [ItemErrorCode.FETCH_FAILED]: "The host was away or answered with an error. Try again once it is back.",
  [ItemErrorCode.FETCH_FORBIDDEN]: "This server doesn’t fetch from there. Upload these images instead.",
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

/** Items that failed alike; without a cluster, all of one code. */
interface Group {
  readonly code: ItemErrorCode;
  readonly count: number;
  readonly cluster?: FailureCluster;
}

export function Failures({ batch, onStatus }: Props): JSX.Element {
  const [clusters, samples, unread] = useClusters(batch);
  const [trouble, setTrouble] = useState<string>();
  if (batch.failedItems === 0) {
    return (
      <Empty icon="success" title="Nothing has failed">
        <p>Items that fail are gathered here by their reason.</p>
      </Empty>
    );
  }
  const groups: readonly Group[] =
    clusters?.map((cluster) => ({ code: cluster.errorCode, count: cluster.count, cluster })) ??
    Object.entries(batch.failureCounts)
      .map(([name, items]) => ({ code: codeOf(name), count: items }))
      .sort((one, other) => other.count - one.count);
  const retry = async ({ code, cluster }: Group) => {
    setTrouble(undefined);
    const chosen = cluster === undefined ? { errorCodes: [code] } : { clusterId: cluster.clusterId };
    try {
      onStatus(await batches.retryBatch({ batchId: batch.batchId, requestId: requestId(), ...chosen }));
    } catch (error) {
      setTrouble(explained(error));
    }
  };
  const canRetry = [BatchStatus.FAILED, BatchStatus.PARTIALLY_COMPLETED].includes(batch.status);
  return (
    <section class="failures" aria-label="Failures by reason">
      <Trouble>{trouble ?? unread}</Trouble>
      {groups.map((group) => (
        <Card
          key={group.cluster?.clusterId ?? group.code}
          batchId={batch.batchId}
          group={group}
          samples={group.cluster?.itemIds.flatMap((id) => samples.get(id) ?? []) ?? []}
          onRetry={canRetry && group.code !== ItemErrorCode.UNSPECIFIED ? () => retry(group) : undefined}
        />
      ))}
    </section>
  );
}

interface CardProps {
  readonly batchId: string;
  readonly group: Group;
  readonly samples: readonly BatchItemResult[];
  readonly onRetry: (() => void) | undefined;
}

function Card({ batchId, group, samples, onRetry }: CardProps): JSX.Element {
  const now = useNow(10_000);
  const { code, cluster } = group;
  const from = [cluster?.host, cluster?.format.toUpperCase()].filter(Boolean);
  const query = new URLSearchParams({ code: codeName(code) });
  // What one item alone has said is no pattern.
  const message = group.count === 1 ? (samples[0]?.errorMessage ?? cluster?.message) : cluster?.message;
  return (
    <article class="panel failure">
      <strong class="many">{count(group.count)}</strong>
      <div class="why">
        <h2>
          {reason(code)} <code>{codeName(code)}</code>
          {from.map((each) => (
            <span class="label" key={each}>
              <bdi>{each}</bdi>
            </span>
          ))}
        </h2>
        {message !== undefined && message !== "*" && (
          <p class="message" dir="auto">
            {message}
          </p>
        )}
        <p>
          {ADVICE[code]}
          {cluster?.lastAt !== undefined && ` The last one ${ago(cluster.lastAt, now)}.`}
        </p>
        <p class="samples">
          {samples.slice(0, SAMPLES).map((item) => (
            <a
              key={item.itemId}
              href={link(["batches", batchId, item.itemIndex], new URLSearchParams({ view: "failures" }))}
              title={nameOf(item)}
              aria-label={nameOf(item)}
            >
              <Thumbnail item={item} />
            </a>
          ))}
          {has("search_results") && <a href={link(["batches", batchId], query)}>Show all</a>}
        </p>
      </div>
      {onRetry !== undefined && (
        <button type="button" class="button" onClick={onRetry}>
          <Icon name="retry" />
          Retry {count(group.count)}
        </button>
      )}
    </article>
  );
}

type Clusters = [readonly FailureCluster[] | undefined, ReadonlyMap<string, BatchItemResult>, string | undefined];

/** The clusters, and items of each by their ids; none from a server that makes no clusters. */
function useClusters(batch: BatchStatusResult): Clusters {
  const [clusters, setClusters] = useState<readonly FailureCluster[]>();
  const [samples, setSamples] = useState<ReadonlyMap<string, BatchItemResult>>(new Map());
  const [trouble, setTrouble] = useState<string>();
  const { batchId } = batch;
  usePolling(
    async (signal) => {
      if (!has("failure_clusters")) return;
      try {
        const found = await batches.listFailureClusters({ batchId, pageSize: MOST }, { signal });
        setClusters(found.clusters);
        const itemIds = found.clusters.flatMap((cluster) => cluster.itemIds.slice(0, SAMPLES)).slice(0, 1_000);
        if (itemIds.length === 0) return;
        const read = await batches.getBatchResults({ batchId, itemIds, limit: 1_000 }, { signal });
        setSamples(new Map(read.results.map((item) => [item.itemId, item])));
        setTrouble(undefined);
      } catch (error) {
        if (!signal.aborted) setTrouble(explained(error));
      }
    },
    EVERY_MS,
    [batchId, isTerminal(batch)],
  );
  return [clusters, samples, trouble];
}
