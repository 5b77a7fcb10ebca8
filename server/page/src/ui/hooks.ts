/** Hooks that more than one view uses. */

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/** The time, anew each second, for what says how long ago something was. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Do something now and again and again, each time so long after the last has ended, while the page is looked at. */
export function usePolling(
  work: (signal: AbortSignal) => Promise<void>,
  everyMs: number,
  on: readonly unknown[],
): void {
  const latest = useRef(work);
  latest.current = work;
  useEffect(() => {
    const stopping = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = async () => {
      if (!document.hidden) await latest.current(stopping.signal);
      if (!stopping.signal.aborted) timer = setTimeout(again, everyMs);
    };
    const seen = () => {
      if (document.hidden || timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      void again();
    };
    document.addEventListener("visibilitychange", seen);
    void again();
    return () => {
      document.removeEventListener("visibilitychange", seen);
      clearTimeout(timer);
      stopping.abort();
    };
  }, [everyMs, ...on]);
}

/** The document's title while a view is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Imagebatch`;
  }, [title]);
}

/** Let the key `/` go to a field, from everywhere but where one writes. */
export function useSlash(field: RefObject<HTMLInputElement>): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const writes = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
      if (event.key !== "/" || writes || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [field]);
}
