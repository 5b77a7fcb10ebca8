/** Where in a picture things were found: boxes over it, which can be hidden. */

import type { JsonValue } from "@bufbuild/protobuf";
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import type { BatchItemResult } from "../contract/imagebatch/v1/types_pb";
import { list, number, object, text } from "../items";

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
export function placesOf(item: BatchItemResult): readonly Place[] {
  const output = item.outputData ?? {};
  return [
    ...list(output.objects).flatMap((each) => boxed("object", object(each)?.name, object(each)?.box)),
    ...list(output.faces).flatMap((each) => boxed("face", "", object(each)?.box)),
    ...list(output.text_lines).flatMap((each) => around(object(each)?.text, object(each)?.corners)),
  ];
}

function boxed(kind: Place["kind"], name: JsonValue | undefined, box: JsonValue | undefined): readonly Place[] {
  const { left, top, right, bottom } = object(box) ?? {};
  return between(kind, text(name) ?? "", [left, right], [top, bottom]);
}

/** The upright box around a line of text, which may be turned. */
function around(line: JsonValue | undefined, corners: JsonValue | undefined): readonly Place[] {
  const points = list(corners).map(object);
  return between(
    "text",
    text(line) ?? "",
    points.map((point) => point?.x),
    points.map((point) => point?.y),
  );
}

type Shares = readonly (JsonValue | undefined)[];

function between(kind: Place["kind"], name: string, across: Shares, down: Shares): readonly Place[] {
  const xs = across.map((share) => number(share) ?? NaN);
  const ys = down.map((share) => number(share) ?? NaN);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const place = { kind, name, left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
  return [left, top, place.width, place.height].every(Number.isFinite) ? [place] : [];
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
          .map((place, position) => (
            <span class={`place ${place.kind}`} style={at(place)} key={position}>
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

function at(place: Place): JSX.CSSProperties {
  const share = (part: number) => `${100 * part}%`;
  return { left: share(place.left), top: share(place.top), width: share(place.width), height: share(place.height) };
}
