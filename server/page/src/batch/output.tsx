/** What an operation says of an image, as far as it says it in words that this page knows. */

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { ComponentChildren, JSX } from "preact";

import { percent } from "../format";
import { list, number, object, text } from "../items";
import { Icon } from "../ui/icons";

export function Output({ output }: { readonly output: JsonObject }): JSX.Element {
  return (
    <>
      <Confidence of={number(output.confidence_score)} />
      <Part name="Tags" of={list(output.tags)}>
        {(tags) => (
          <p class="tags">
            {tags.map(object).map((tag, at) => (
              <span class="tag" key={at}>
                {text(tag?.name)}
                <small>{percent(number(tag?.confidence) ?? 0)}</small>
              </span>
            ))}
          </p>
        )}
      </Part>
      <Part name="Text in the picture" of={list(output.visible_text)}>
        {(lines) => (
          <ul class="lines">
            {lines.map((line, at) => (
              <li key={at} dir="auto">
                {text(line)}
              </li>
            ))}
          </ul>
        )}
      </Part>
      <Part name="Checks" of={list(output.checks)}>
        {(checks) => (
          <ul class="checks">{checks.map(object).map((check, at) => check && <Check check={check} key={at} />)}</ul>
        )}
      </Part>
      <Part name="Colours" of={list(output.dominant_colours)}>
        {(colours) => (
          <p class="colours">
            {colours.map(object).map((colour, at) => (
              <span key={at}>
                <Swatch hex={text(colour?.hex)} />
                {text(colour?.name)}
                <small>{percent(number(colour?.share) ?? 0)}</small>
              </span>
            ))}
          </p>
        )}
      </Part>
    </>
  );
}

interface PartProps {
  readonly name: string;
  readonly of: readonly JsonValue[];
  readonly children: (values: readonly JsonValue[]) => ComponentChildren;
}

function Part({ name, of, children }: PartProps): JSX.Element | null {
  if (of.length === 0) return null;
  return (
    <section>
      <h3>{name}</h3>
      {children(of)}
    </section>
  );
}

function Confidence({ of }: { readonly of: number | undefined }): JSX.Element | null {
  if (of === undefined) return null;
  return (
    <p class="confidence">
      <span>Confidence</span>
      <span class="bar" aria-hidden="true">
        <i style={{ width: `${Math.max(0, Math.min(1, of)) * 100}%` }} />
      </span>
      <b>{percent(of)}</b>
    </p>
  );
}

const VERDICTS = { supported: "success", contradicted: "failed", cannot_tell: "skipped" } as const;

function Check({ check }: { readonly check: JsonObject }): JSX.Element {
  const verdict = text(check.verdict) ?? "";
  const tone = VERDICTS[verdict as keyof typeof VERDICTS] ?? "skipped";
  return (
    <li class={tone}>
      <span class={`badge ${tone}`} aria-hidden="true">
        <Icon name={tone} />
      </span>
      <span>
        <b>{text(check.name)?.replaceAll("_", " ")}</b>{" "}
        <span class="visually-hidden">{verdict.replaceAll("_", " ")}: </span>
        {text(check.detail)}
      </span>
    </li>
  );
}

/** A spot of the colour; anything that isn't `#rrggbb` shows nothing. */
function Swatch({ hex }: { readonly hex: string | undefined }): JSX.Element | null {
  if (hex === undefined || !/^#[0-9a-f]{6}$/.test(hex)) return null;
  return <i class="swatch" style={{ backgroundColor: hex }} aria-hidden="true" />;
}
