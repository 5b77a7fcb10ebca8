/** All batches, newest first, as they stand now. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { batches, explained, operations } from "./api";
import { BATCH_STATUSES, isTerminal, statusName } from "./batch/status";
import type { ListBatchesRequestSchema } from "./contract/imagebatch/v1/batch_service_pb";
import { BatchStatus, type BatchStatusResult } from "./contract/imagebatch/v1/types_pb";
import { ago, count, duration, items, milliseconds, moment, percent, shortId } from "./format";
import { changed, link, replace, route } from "./route";
import { useNow, usePolling, useSlash, useTitle } from "./ui/hooks";
import { Icon } from "./ui/icons";
import { Empty, Labels, ProgressBar, StatusPill, Trouble } from "./ui/parts";

const EVERY_MS = 2_000;
const A_PAGE = 50;
const MOST = 1_000;

const PERIODS: Readonly<Record<string, readonly [string, number]>> = {
  "1h": ["Last hour", 3_600_000],
  "24h": ["Last 24 hours", 86_400_000],
  "7d": ["Last 7 days", 7 * 86_400_000],
  "30d": ["Last 30 days", 30 * 86_400_000],
};

export function BatchesView(): JSX.Element {
  useTitle("Batches");
  const query = route.value.query;
  const [wanted, setWanted] = useState(A_PAGE);
  const [listed, setListed] = useState<{ key: string; all: readonly BatchStatusResult[]; hasMore: boolean }>();
  const [trouble, setTrouble] = useState<string>();
  const key = query.toString();
  usePolling(
    async (signal) => {
      try {
        const page = await batches.listBatches({ ...filterOf(query), pageSize: wanted }, { signal });
        setListed({ key, all: page.batches, hasMore: page.nextPageToken !== "" });
        setTrouble(undefined);
      } catch (error) {
        if (!signal.aborted) setTrouble(explained(error));
      }
    },
    EVERY_MS,
    [key, wanted],
  );
  const isFiltered = key !== "";
  return (
    <>
      <header class="title">
        <h1>Batches</h1>
        <a class="button primary" href={link(["new"])}>
          <Icon name="plus" />
          New batch
        </a>
      </header>
      <Filters query={query} />
      <Trouble>{trouble}</Trouble>
      {listed === undefined ? null : listed.all.length === 0 ? (
        <Nothing isFiltered={isFiltered} />
      ) : (
        <>
          <List all={listed.all} />
          {listed.hasMore && wanted < MOST && (
            <p class="more">
              <button type="button" class="button" onClick={() => setWanted(Math.min(MOST, wanted + 2 * A_PAGE))}>
                Show more
              </button>
            </p>
          )}
          {listed.hasMore && wanted >= MOST && (
            <p class="more">There are more; narrow the list down by time or label.</p>
          )}
        </>
      )}
    </>
  );
}

function filterOf(query: URLSearchParams): MessageInitShape<typeof ListBatchesRequestSchema> {
  const status = Number(query.get("status") ?? 0);
  const operation = query.get("operation");
  const since = PERIODS[query.get("since") ?? ""];
  const [name = "", ...value] = (query.get("label") ?? "").split("=");
  return {
    ...(BATCH_STATUSES.includes(status) && { statuses: [status as BatchStatus] }),
    ...(operation && { operation }),
    ...(since && { createdAfter: timestampFromMs(Date.now() - since[1]) }),
    ...(name.trim() !== "" && value.length > 0 && { labels: { [name.trim()]: value.join("=").trim() } }),
  };
}

function Filters({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const set = (parts: Readonly<Record<string, string>>) => replace(link(["batches"], changed(query, parts)));
  const chosen = (name: string) => query.get(name) ?? "";
  const search = useRef<HTMLInputElement>(null);
  useSlash(search);
  return (
    <form class="filters" role="search" aria-label="Filter batches" onSubmit={(event) => event.preventDefault()}>
      <select aria-label="Status" value={chosen("status")} onChange={(e) => set({ status: e.currentTarget.value })}>
        <option value="">Any status</option>
        {BATCH_STATUSES.map((status) => (
          <option key={status} value={status}>
            {statusName(status)}
          </option>
        ))}
      </select>
      <select
        aria-label="Operation"
        value={chosen("operation")}
        onChange={(e) => set({ operation: e.currentTarget.value })}
      >
        <option value="">Any operation</option>
        {operations.value.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <select aria-label="Time" value={chosen("since")} onChange={(e) => set({ since: e.currentTarget.value })}>
        <option value="">Any time</option>
        {Object.entries(PERIODS).map(([name, [title]]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      <span class="search">
        <Icon name="search" />
        <input
          ref={search}
          type="search"
          placeholder="label=value"
          aria-label="Label, as name=value"
          value={chosen("label")}
          onInput={(event) => set({ label: event.currentTarget.value })}
        />
      </span>
    </form>
  );
}

function Nothing({ isFiltered }: { readonly isFiltered: boolean }): JSX.Element {
  return isFiltered ? (
    <Empty icon="search" title="No batch matches">
      <p>
        <a class="button" href={link(["batches"])}>
          Show all batches
        </a>
      </p>
    </Empty>
  ) : (
    <Empty icon="layers" title="No batches yet">
      <p>Choose some images and what to do with them. The results appear here, one by one.</p>
      <p>
        <a class="button primary" href={link(["new"])}>
          <Icon name="plus" />
          New batch
        </a>
      </p>
    </Empty>
  );
}

function List({ all }: { readonly all: readonly BatchStatusResult[] }): JSX.Element {
  const now = useNow();
  return (
    <ul class="batches panel">
      {all.map((batch) => (
        <li key={batch.batchId}>
          <a href={link(["batches", batch.batchId])}>
            <span class="what">
              <b>{batch.operation}</b>
              <code>{shortId(batch.batchId)}</code>
              <Labels labels={batch.labels} />
            </span>
            <StatusPill batch={batch} />
            <span class="how-far">
              <ProgressBar batch={batch} />
              <span>
                {isTerminal(batch) ? "" : `${percent(batch.processedItems / batch.totalItems)} of `}
                {items(batch.totalItems)}
                {batch.failedItems > 0 && <b class="failed"> · {count(batch.failedItems)} failed</b>}
              </span>
            </span>
            <span class="when" title={moment(batch.createdAt!)}>
              {ago(batch.createdAt!, now)}
              <small>{tookOrLeft(batch, now)}</small>
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}

function tookOrLeft(batch: BatchStatusResult, now: number): string {
  if (batch.completedAt !== undefined) {
    return `took ${duration(milliseconds(batch.completedAt) - milliseconds(batch.startedAt ?? batch.createdAt!))}`;
  }
  const end = batch.estimatedCompletionTime;
  return end === undefined ? "" : `about ${duration(Math.max(1000, milliseconds(end) - now))} left`;
}
