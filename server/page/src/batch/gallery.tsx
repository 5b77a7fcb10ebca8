/** Items as pictures. */

import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import type { BatchItemResult } from "../contract/imagebatch/v1/types_pb";
import { nameOf, outcomeOf, toneOf, verdictOf } from "../items";
import { Badge } from "../ui/icons";
import { useBrowsing } from "./browsing";
import type { ItemPages } from "./item_pages";
import { Thumbnail } from "./picture";
import { useRows } from "./window";

const LEAST_WIDTH = 178;
const GAP = 14;
const TEXT_HEIGHT = 84;

interface Props {
  readonly pages: ItemPages;
  readonly linkTo: (item: BatchItemResult) => string;
}

export function Gallery({ pages, linkTo }: Props): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  const width = useWidth(list);
  const columns = Math.max(2, Math.floor((width + GAP) / (LEAST_WIDTH + GAP)));
  const cell = (width + GAP) / columns;
  const rowHeight = Math.round((cell - GAP) * 0.75) + TEXT_HEIGHT + GAP;
  const count = pages.total.value ?? 0;
  const rows = useRows(list, Math.ceil(count / columns), rowHeight);
  const { current, onKeyDown, onFocus } = useBrowsing(list, count, columns, rowHeight);
  const first = rows.first * columns;
  const last = Math.min(count, rows.last * columns);
  useLayoutEffect(() => pages.want(first, last), [pages, first, last]); // before the frame is drawn
  pages.version.value; // draws anew when an item has changed

  const cards = [];
  for (let position = first; position < last; position++) {
    const row = Math.floor(position / columns) - rows.first;
    const at = {
      width: `${cell - GAP}px`,
      height: `${rowHeight - GAP}px`,
      transform: `translate(${(position % columns) * cell}px, ${rows.top + row * rowHeight}px)`,
    };
    const item = pages.get(position);
    cards.push(
      <div role="listitem" class="cell" style={at} key={position} aria-posinset={position + 1} aria-setsize={count}>
        {item === undefined ? (
          <div class="card unknown" />
        ) : (
          <Card
            item={item}
            href={linkTo(item)}
            position={position}
            isCurrent={position === current}
            onFocus={() => onFocus(position)}
          />
        )}
      </div>,
    );
  }
  return (
    <div
      ref={list}
      class="gallery"
      role="list"
      aria-label="Items"
      style={{ height: `${rows.height}px` }}
      onKeyDown={onKeyDown}
    >
      {width > 0 && cards}
    </div>
  );
}

interface CardProps {
  readonly item: BatchItemResult;
  readonly href: string;
  readonly position: number;
  readonly isCurrent: boolean;
  readonly onFocus: () => void;
}

function Card({ item, href, position, isCurrent, onFocus }: CardProps): JSX.Element {
  const tone = toneOf(item);
  const outcome = outcomeOf(item);
  const isAnswer = tone === "success" && outcome !== "" && item.outputData?.is_verified === undefined;
  return (
    <a class={`card ${tone}`} href={href} data-position={position} tabIndex={isCurrent ? 0 : -1} onFocus={onFocus}>
      <span class="frame">
        <Thumbnail item={item} />
        <Badge tone={tone} />
      </span>
      <span class="caption">
        <bdi class="name" dir="auto">
          {nameOf(item)}
        </bdi>
        <span class="outcome" dir="auto">
          {isAnswer ? outcome : <b>{verdictOf(item)}</b>}
          {!isAnswer && tone !== "skipped" && outcome !== "" && ` · ${outcome}`}
        </span>
      </span>
    </a>
  );
}

/** An element's width in pixels, 0 before it is there. */
function useWidth(element: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => setWidth(element.current!.clientWidth));
    observer.observe(element.current!);
    setWidth(element.current!.clientWidth);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
