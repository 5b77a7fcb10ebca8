/** Items as rows. */

import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import type { BatchItemResult } from "../contract/imagebatch/v1/types_pb";
import { count as shown, duration } from "../format";
import { nameOf, outcomeOf, TONE_NAMES, toneOf, verdictOf } from "../items";
import { Badge } from "../ui/icons";
import { useBrowsing } from "./browsing";
import type { ItemPages } from "./item_pages";
import { Thumbnail } from "./picture";
import { useRows } from "./window";

const ROW_HEIGHT = 52;

interface Props {
  readonly pages: ItemPages;
  readonly linkTo: (item: BatchItemResult) => string;
}

export function Table({ pages, linkTo }: Props): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  const count = pages.total.value ?? 0;
  const rows = useRows(list, count, ROW_HEIGHT);
  const { current, onKeyDown, onFocus } = useBrowsing(list, count, 1, ROW_HEIGHT);
  useLayoutEffect(() => pages.want(rows.first, rows.last), [pages, rows.first, rows.last]); // before the frame is drawn
  pages.version.value; // draws anew when an item has changed

  const drawn = [];
  for (let position = rows.first; position < rows.last; position++) {
    const item = pages.get(position);
    const at = { transform: `translateY(${rows.top + (position - rows.first) * ROW_HEIGHT}px)` };
    drawn.push(
      <div class="row" role="listitem" style={at} key={position} aria-posinset={position + 1} aria-setsize={count}>
        {item !== undefined && (
          <a
            href={linkTo(item)}
            data-position={position}
            tabIndex={position === current ? 0 : -1}
            onFocus={() => onFocus(position)}
          >
            <Cells item={item} />
          </a>
        )}
      </div>,
    );
  }
  return (
    <div class="table">
      <div class="columns" aria-hidden="true">
        <span>#</span>
        <span />
        <span>Item</span>
        <span>What happened</span>
        <span class="number">Time</span>
        <span class="number">Attempts</span>
      </div>
      <div
        ref={list}
        class="rows"
        role="list"
        aria-label="Items"
        style={{ height: `${rows.height}px` }}
        onKeyDown={onKeyDown}
      >
        {drawn}
      </div>
    </div>
  );
}

function Cells({ item }: { readonly item: BatchItemResult }): JSX.Element {
  const tone = toneOf(item);
  const outcome = outcomeOf(item);
  return (
    <>
      <span class="index">{shown(item.itemIndex)}</span>
      <span class="frame">
        <Thumbnail item={item} />
      </span>
      <bdi class="name" dir="auto">
        {nameOf(item)}
      </bdi>
      <span class={`outcome ${tone}`} dir="auto">
        <Badge tone={tone} />
        {tone !== "waiting" && tone !== "refuted" && <span class="visually-hidden">{TONE_NAMES[tone]}: </span>}
        <span class="said">
          {tone !== "success" && <b>{verdictOf(item)} </b>}
          {outcome}
        </span>
      </span>
      <span class="number">{item.processingTimeMs === undefined ? "" : duration(Number(item.processingTimeMs))}</span>
      <span class="number">{item.attempts === 0 ? "" : item.attempts}</span>
    </>
  );
}
