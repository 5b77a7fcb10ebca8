/** Where in the page one is: all of it stands behind the `#`, so that links, reloads and the back button work. */

import { computed, signal } from "@preact/signals";

export interface Route {
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

const fragment = signal(location.hash);
addEventListener("hashchange", () => (fragment.value = location.hash));

export const route = computed<Route>(() => {
  const [path = "", query = ""] = fragment.value.replace(/^#\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
});

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function link(path: readonly (string | number)[], query?: URLSearchParams): string {
  const asked = query?.toString() ?? "";
  return `#/${path.map((part) => encodeURIComponent(part)).join("/")}${asked === "" ? "" : `?${asked}`}`;
}

export function go(to: string): void {
  location.hash = to;
}

/** Change what stands in the address without a new step for the back button. */
export function replace(to: string): void {
  history.replaceState(history.state, "", to);
  fragment.value = to;
}

/** The query with some of its parts set anew; an empty part is left out. */
export function changed(query: URLSearchParams, parts: Readonly<Record<string, string>>): URLSearchParams {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(parts)) {
    if (value === "") next.delete(name);
    else next.set(name, value);
  }
  return next;
}
