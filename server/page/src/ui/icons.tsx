/** The page's few drawings; each says by its shape what its colour says too. */

import type { JSX } from "preact";

import type { Tone } from "../items";

const PATHS = {
  success: "M5.2 10.4 8.6 13.6 14.8 6.8",
  failed: "M6.2 6.2 13.8 13.8 M13.8 6.2 6.2 13.8",
  refuted: "M10 5v6.2 M10 14.600v.1",
  skipped: "M5.6 10h8.8",
  waiting: "M10 6v4.2l2.6 1.6",
  close: "M5 5 15 15 M15 5 5 15",
  left: "M12.5 4.5 7 10l5.5 5.5",
  right: "M7.5 4.5 13 10l-5.5 5.5",
  plus: "M10 4.500v11 M4.5 10h11",
  search: "M13.2 13.2 16.5 16.5 M14.5 9a5.5 5.5 0 1 1-11 0a5.5 5.5 0 0 1 11 0",
  upload: "M10 13.500v-9 M6.2 8.2 10 4.400l3.8 3.8 M4 16h12",
  pause: "M7 5v10 M13 5v10",
  play: "M6.5 4.800v10.400L15 10z",
  retry: "M15.5 10a5.5 5.5 0 1 1-1.7-4 M15.5 3.500V6.400h-2.9",
  stop: "M5.5 5.500h9v9h-9z",
  trash: "M4.5 6h11 M8 6V4.500h4V6 M6 6l.700 9.500h6.600L14 6",
  download: "M10 4v9 M6.2 9.4 10 13.200l3.8-3.8 M4 16h12",
  gallery: "M4 4h5v5H4z M11 4h5v5h-5z M4 11h5v5H4z M11 11h5v5h-5z",
  table: "M3.5 5h13 M3.5 10h13 M3.5 15h13",
  picture: "M3.5 4.500h13v11h-13z M3.5 13.500l4-4 3.5 3.5 2.5-2 3 2.5 M13.2 8.200h.1",
  copy: "M7 7h9v9H7z M4 13V4h9",
  layers: "M10 3.5 17 7l-7 3.500L3 7z M3.5 10.5 10 13.800l6.5-3.3 M3.5 13.7 10 17l6.5-3.3",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** A disc with a mark: what became of an item. */
export function Badge({ tone }: { readonly tone: Tone }): JSX.Element {
  return (
    <span class={`badge ${tone}`} aria-hidden="true">
      <Icon name={tone} />
    </span>
  );
}
