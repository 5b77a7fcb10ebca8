/** A batch: how far it is, what can be done with it, and its items. */

import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";

import { has } from "../api";
import { type BatchItemResult, BatchItemStatus, type BatchStatusResult } from "../contract/imagebatch/v1/types_pb";
import { compact, shortId } from "../format";
import { codeOf, reason } from "../items";
import { changed, go, link, replace, route } from "../route";
import { useTitle } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { Empty, Labels, StatusPill, Trouble } from "../ui/parts";
import { Actions } from "./actions";
import { Failures } from "./failures";
import { Gallery } from "./gallery";
import { Head } from "./head";
import { Search } from "./search";
import { ItemPages } from "./item_pages";
import { ItemView } from "./item";
import { LiveBatch } from "./live";
import { Table } from "./table";
import { Waiting } from "./waiting";

const KINDS = [
  ["", "All", undefined],
  ["success", "Succeeded", BatchItemStatus.SUCCESS],
  ["failed", "Failed", BatchItemStatus.FAILED],
  ["skipped", "Skipped", BatchItemStatus.SKIPPED],
  ["pending", "Waiting", BatchItemStatus.PENDING],
] as const;

const VIEWS = [
  ["", "Gallery", "gallery"],
  ["table", "Table", "table"],
  ["failures", "Failures", "layers"],
] as const;

/** About as many items as one sees: asked for at once while nobody knows how many there are. */
const A_SCREEN = 60;

export function BatchView({ batchId }: { readonly batchId: string }): JSX.Element {
  const shownItems = useMemo<{ pages: ItemPages | undefined }>(() => ({ pages: undefined }), [batchId]);
  const live = useMemo(
    () =>
      new LiveBatch(
        batchId,
        (outcomes) => shownItems.pages?.apply(outcomes),
        () => shownItems.pages?.reload(),
      ),
    [batchId, shownItems],
  );
  useEffect(() => {
    live.start();
    return () => live.stop();
  }, [live]);

  const batch = live.status.value;
  const pages = usePages(batchId, batch);
  shownItems.pages = pages;
  useTitle(batch === undefined ? "Batch" : `${batch.operation} ${shortId(batchId)}`);
  if (batch === undefined) {
    return live.isLost.value ? (
      <Empty icon="search" title="This batch isn’t there">
        <p>{live.trouble.value}</p>
        <p>
          <a class="button" href={link(["batches"])}>
            All batches
          </a>
        </p>
      </Empty>
    ) : (
      <Trouble>{live.trouble.value}</Trouble>
    );
  }
  return (
    <>
      <header class="title">
        <div>
          <nav aria-label="Breadcrumb">
            <a href={link(["batches"])}>Batches</a>
          </nav>
          <h1>
            {batch.operation} <code title={batchId}>{shortId(batchId)}</code> <StatusPill batch={batch} />
          </h1>
          <Labels labels={batch.labels} />
        </div>
        <Actions batch={batch} onStatus={(status) => live.take(status)} />
      </header>
      <Trouble>{live.trouble.value}</Trouble>
      <Waiting batch={batch} />
      <Head batch={batch} perSecond={live.rate.value} />
      <Items batch={batch} pages={pages} onStatus={(status) => live.take(status)} />
    </>
  );
}

/** The items that the address asks for. They are asked for at once, beside the batch's status. */
function usePages(batchId: string, batch: BatchStatusResult | undefined): ItemPages {
  const { kind, code, text } = filterOf(route.value.query);
  const pages = useMemo(() => {
    const status = KINDS.find(([name]) => name === kind)?.[2];
    const filter = {
      statuses: status === undefined ? [] : [status],
      errorCodes: code === "" ? [] : [codeOf(code)],
      text,
    };
    const isCounted = code === "" && text === "";
    return new ItemPages(batchId, filter, isCounted && batch !== undefined ? countOf(batch, kind) : undefined);
  }, [batchId, kind, code, text]);
  useLayoutEffect(() => {
    if (pages.total.value === undefined) pages.want(0, A_SCREEN);
    return () => pages.close();
  }, [pages]);
  const hasEnded = batch?.completedAt !== undefined;
  useEffect(() => pages.end(hasEnded), [pages, hasEnded]);
  return pages;
}

function filterOf(query: URLSearchParams): { readonly kind: string; readonly code: string; readonly text: string } {
  return { kind: query.get("status") ?? "", code: query.get("code") ?? "", text: query.get("text") ?? "" };
}

interface ItemsProps {
  readonly batch: BatchStatusResult;
  readonly pages: ItemPages;
  readonly onStatus: (status: BatchStatusResult) => void;
}

function Items({ batch, pages, onStatus }: ItemsProps): JSX.Element {
  const { batchId } = batch;
  const query = useComputed(() => route.value.query).value;
  const view = query.get("view") ?? "";
  const { kind, code, text } = filterOf(query);
  const opened = route.value.path[2];
  const set = (parts: Readonly<Record<string, string>>) => replace(link(["batches", batchId], changed(query, parts)));
  const linkTo = (item: BatchItemResult) => link(["batches", batchId, item.itemIndex], query);
  const tabs = VIEWS.map(([name, title, icon]) => (
    <button type="button" key={name} aria-pressed={view === name} onClick={() => set({ view: name })}>
      <Icon name={icon} />
      {title}
    </button>
  ));
  const kinds = KINDS.filter(([name]) => name === "" || name === kind || countOf(batch, name) > 0).map(
    ([name, title]) => (
      <button type="button" class="chip" key={name} aria-pressed={kind === name} onClick={() => set({ status: name })}>
        {name !== "" && <i class={`spot ${name === "pending" ? "waiting" : name}`} aria-hidden="true" />}
        {title} <small>{compact(countOf(batch, name))}</small>
      </button>
    ),
  );
  return (
    <>
      <div class="toolbar">
        <div class="segments" role="group" aria-label="View">
          {tabs}
        </div>
        {view !== "failures" && (
          <div class="chips" role="group" aria-label="Which items">
            {kinds}
            {code !== "" && (
              <button type="button" class="chip" aria-pressed="true" onClick={() => set({ code: "" })}>
                {reason(codeOf(code)) || code}
                <Icon name="close" />
                <span class="visually-hidden">: show other reasons too</span>
              </button>
            )}
          </div>
        )}
        {view !== "failures" && has("search_results") && <Search text={text} onText={(to) => set({ text: to })} />}
      </div>
      <Trouble>{pages.trouble.value}</Trouble>
      {view === "failures" ? (
        <Failures batch={batch} onStatus={onStatus} />
      ) : pages.total.value === 0 ? (
        <Empty icon="search" title="No item matches">
          <p>
            <button type="button" class="button" onClick={() => set({ status: "", code: "", text: "" })}>
              Show all items
            </button>
          </p>
        </Empty>
      ) : view === "table" ? (
        <Table pages={pages} linkTo={linkTo} />
      ) : (
        <Gallery pages={pages} linkTo={linkTo} />
      )}
      {opened !== undefined && /^\d+$/.test(opened) && (
        <Opened pages={pages} batch={batch} itemIndex={Number(opened)} query={query} />
      )}
    </>
  );
}

function countOf(batch: BatchStatusResult, kind: string): number {
  const counts: Record<string, number> = {
    "": batch.totalItems,
    success: batch.successfulItems,
    failed: batch.failedItems,
    skipped: batch.skippedItems,
    pending: batch.totalItems - batch.processedItems,
  };
  return counts[kind] ?? 0;
}

interface OpenedProps {
  readonly pages: ItemPages;
  readonly batch: BatchStatusResult;
  readonly itemIndex: number;
  readonly query: URLSearchParams;
}

/** The item that is opened, with those beside it in the list. */
function Opened({ pages, batch, itemIndex, query }: OpenedProps): JSX.Element {
  const { batchId } = batch;
  pages.version.value; // draws anew when an item has changed
  const position = pages.positionOf(itemIndex);
  const beside = (step: number) => {
    if (position === undefined) return undefined;
    const next = position + step;
    if (next < 0 || next >= (pages.total.value ?? 0)) return undefined;
    return () => {
      const item = pages.get(next);
      if (item !== undefined) replace(link(["batches", batchId, item.itemIndex], query));
      else pages.want(next, next + 1);
    };
  };
  return (
    <ItemView
      batchId={batchId}
      itemIndex={itemIndex}
      known={position === undefined ? undefined : pages.get(position)}
      onPrevious={beside(-1)}
      onNext={beside(1)}
      onClose={() => go(link(["batches", batchId], query))}
    />
  );
}
