/** Moving through a list of items by keys: one of them can be reached by Tab, and arrows go on from it. */

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { scrollTo } from "./window";

export interface Browsing {
  /** The position that Tab reaches. */
  readonly current: number;
  readonly onKeyDown: (event: KeyboardEvent) => void;
  readonly onFocus: (position: number) => void;
}

/** `list` holds elements with `data-position`; so many stand in a row. */
export function useBrowsing(list: RefObject<HTMLElement>, count: number, columns: number, rowHeight: number): Browsing {
  const [current, setCurrent] = useState(0);
  const goal = useRef<number | undefined>(undefined);

  // What was not drawn when a key was pressed is there after the list has been scrolled.
  useEffect(() => {
    if (goal.current === undefined) return;
    const found = list.current?.querySelector<HTMLElement>(`[data-position="${goal.current}"]`);
    if (found) {
      goal.current = undefined;
      found.focus({ preventScroll: true });
    }
  });

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const screen = Math.max(1, Math.floor(innerHeight / rowHeight) - 1) * columns;
    const steps: Record<string, number> = {
      ArrowRight: columns === 1 ? 0 : 1, ArrowLeft: columns === 1 ? 0 : -1, ArrowDown: columns, ArrowUp: -columns,
      PageDown: screen, PageUp: -screen, Home: -count, End: count,
    }; // prettier-ignore
    const step = steps[event.key];
    if (step === undefined || step === 0) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(count - 1, current + step));
    goal.current = next;
    setCurrent(next);
    reveal(list.current!, Math.floor(next / columns), Math.ceil(count / columns), rowHeight);
  };
  return { current: Math.min(current, Math.max(0, count - 1)), onKeyDown, onFocus: setCurrent };
}

/** Scroll the window so that a row is in it, if it isn't. */
function reveal(list: HTMLElement, row: number, rows: number, rowHeight: number): void {
  const begin = list.getBoundingClientRect().top + scrollY;
  const covered = Math.max(0, document.querySelector(".toolbar")?.getBoundingClientRect().bottom ?? 0);
  const at = begin + scrollTo(row, innerHeight, rows, rowHeight);
  if (at < scrollY + covered) window.scrollTo({ top: at - covered - 8, behavior: "instant" });
  else if (at + rowHeight > scrollY + innerHeight)
    window.scrollTo({ top: at + rowHeight - innerHeight + 8, behavior: "instant" });
}
