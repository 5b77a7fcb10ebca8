/** Where in a picture things were found: boxes over it, which can be hidden. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import type { BatchItemResult } from "../contract/imagebatch/v1/types_pb";

/** A box; its sides are shares of the picture's. */
export interface Place {
  readonly kind: "face" | "object" | "text";
  readonly name: string;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** What an output says of places; none where the operation doesn't tell. */
export function placesOf(_item: BatchItemResult): readonly Place[] {
  return [];
}

const KINDS = [
  ["face", "Faces"],
  ["object", "Things"],
  ["text", "Text"],
] as const;

interface Props {
  readonly places: readonly Place[];
  readonly children: ComponentChildren;
}

export function Places({ places, children }: Props): JSX.Element {
  const [hidden, setHidden] = useState<readonly string[]>([]);
  const toggle = (kind: string) =>
    setHidden(hidden.includes(kind) ? hidden.filter((each) => each !== kind) : [...hidden, kind]);
  const kinds = KINDS.filter(([kind]) => places.some((place) => place.kind === kind));
  return (
    <>
      <div class="pictured">
        {children}
        {places
          .filter((place) => !hidden.includes(place.kind))
          .map((place, at) => (
            <span class={`place ${place.kind}`} style={boxed(place)} key={at}>
              <span dir="auto">{place.name}</span>
            </span>
          ))}
      </div>
      {kinds.length > 0 && (
        <div class="layers" role="group" aria-label="Shown on the picture">
          {kinds.map(([kind, name]) => (
            <button
              type="button"
              class="chip"
              key={kind}
              aria-pressed={!hidden.includes(kind)}
              onClick={() => toggle(kind)}
            >
              <i class={`spot ${kind}`} aria-hidden="true" />
              {name} <small>{places.filter((place) => place.kind === kind).length}</small>
            </button>
          ))}
        </div>
      )}
    </>
  );
}

function boxed(place: Place): JSX.CSSProperties {
  const share = (part: number) => `${100 * part}%`;
  return { left: share(place.left), top: share(place.top), width: share(place.width), height: share(place.height) };
}
