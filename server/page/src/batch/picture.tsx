/** An item's picture, small; in its place a drawing where there is none to show. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { here } from "../api";
import type { BatchItemResult } from "../contract/imagebatch/v1/types_pb";
import { nameOf, outcomeOf } from "../items";
import { Icon } from "../ui/icons";

/** Where the small picture of an item is; undefined where there is none. */
export function smallUrl(item: BatchItemResult): string | undefined {
  return here(item.previewUrl) ?? here(item.storedImageUrl);
}

/** Where the largest picture of an item is that the server has; undefined where it has none. */
export function largeUrl(item: BatchItemResult): string | undefined {
  return here(item.storedImageUrl) ?? here(item.previewUrl);
}

/** What the picture shows, for those who don't see it. */
export function alternative(item: BatchItemResult): string {
  const description = item.outputData?.description;
  return typeof description === "string" ? outcomeOf(item) : nameOf(item);
}

export function Thumbnail({ item }: { readonly item: BatchItemResult }): JSX.Element {
  const url = smallUrl(item);
  const [broken, setBroken] = useState<string>();
  if (url === undefined || url === broken) {
    return (
      <span class="no-picture" aria-hidden="true">
        <Icon name="picture" />
      </span>
    );
  }
  return <img src={url} alt={alternative(item)} loading="lazy" decoding="async" onError={() => setBroken(url)} />;
}
