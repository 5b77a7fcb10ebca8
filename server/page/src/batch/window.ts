/** Which rows of a long list are to be drawn: those that the window shows, and a few beside them. */

import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

/** Browsers stop drawing at some tens of millions of pixels; a longer list is scrolled in larger steps. */
const MOST_PIXELS = 8_000_000;
const BESIDE = 1;

export interface Rows {
  /** The first row to draw, and the one after the last. */
  readonly first: number;
  readonly last: number;
  /** The height of the whole list, and where its first drawn row begins, in pixels. */
  readonly height: number;
  readonly top: number;
}

export function useRows(list: RefObject<HTMLElement>, count: number, rowHeight: number): Rows {
  const [rows, setRows] = useState<Rows>({ first: 0, last: 0, height: 0, top: 0 });
  useLayoutEffect(() => {
    const look = () => {
      const { top } = list.current!.getBoundingClientRect();
      setRows((before) => {
        const next = rowsAt(-top, innerHeight, count, rowHeight);
        const isSame =
          next.first === before.first &&
          next.last === before.last &&
          next.height === before.height &&
          next.top === before.top;
        return isSame ? before : next;
      });
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    const moved = new ResizeObserver(look); // what stands above the list may grow
    moved.observe(document.body);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
      moved.disconnect();
    };
  }, [list, count, rowHeight]);
  return rows;
}

/** The rows at a place: so many pixels of the list are above the window's upper edge. */
export function rowsAt(scrolled: number, view: number, count: number, rowHeight: number): Rows {
  const whole = count * rowHeight;
  const height = Math.min(whole, MOST_PIXELS);
  const within = Math.max(0, Math.min(scrolled, height - view));
  const offset = height < whole ? (within / (height - view)) * (whole - view) : within;
  const first = Math.max(0, Math.floor(offset / rowHeight) - BESIDE);
  const last = Math.min(count, Math.ceil((offset + view) / rowHeight) + BESIDE);
  return { first, last, height, top: within + first * rowHeight - offset };
}

/** How far the window must be scrolled from the list's begin for a row to be at the upper edge. */
export function scrollTo(row: number, view: number, count: number, rowHeight: number): number {
  const whole = count * rowHeight;
  if (whole <= MOST_PIXELS) return row * rowHeight;
  return ((row * rowHeight) / (whole - view)) * (MOST_PIXELS - view);
}
