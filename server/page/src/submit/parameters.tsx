/** A form for an operation's parameters, made of its JSON Schema. */

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { JSX } from "preact";

import { list, object, text } from "../items";

interface Props {
  readonly schema: JsonObject | undefined;
  readonly values: JsonObject;
  readonly onChange: (values: JsonObject) => void;
}

export function Parameters({ schema, values, onChange }: Props): JSX.Element | null {
  const properties = Object.entries(object(schema?.properties) ?? {});
  const definitions = object(schema?.$defs) ?? {};
  const required = list(schema?.required);
  if (properties.length === 0) return null;
  const set = (name: string, value: JsonValue | undefined) => {
    const { [name]: _, ...rest } = values;
    onChange(value === undefined ? rest : { ...rest, [name]: value });
  };
  return (
    <div class="parameters">
      {properties.map(([name, property]) => {
        const meant = resolved(object(property) ?? {}, definitions);
        return (
          <label key={name}>
            <span>
              {name.replaceAll("_", " ")}
              {required.includes(name) && <small> required</small>}
            </span>
            <Field
              of={meant}
              isRequired={required.includes(name)}
              value={values[name]}
              onChange={(value) => set(name, value)}
            />
            <small class="hint">{text(meant.description)}</small>
          </label>
        );
      })}
    </div>
  );
}

/** The schema that a property means: what it refers to, and of alternatives the one that isn't null. */
function resolved(property: JsonObject, definitions: JsonObject): JsonObject {
  const alternatives = list(property.anyOf)
    .map(object)
    .filter((each) => each?.type !== "null");
  const [only] = alternatives.length === 1 ? alternatives : [];
  const name = text((only ?? property).$ref)
    ?.split("/")
    .pop();
  const target = name === undefined ? only : object(definitions[name]);
  return target === undefined
    ? property
    : { ...property, ...target, ...(property.description && { description: property.description }) };
}

interface FieldProps {
  readonly of: JsonObject;
  readonly isRequired: boolean;
  readonly value: JsonValue | undefined;
  readonly onChange: (value: JsonValue | undefined) => void;
}

function Field({ of, isRequired, value, onChange }: FieldProps): JSX.Element {
  const usual = of.default === undefined || of.default === null ? "" : show(of.default);
  const given = value === undefined ? "" : show(value);
  const choices = of.type === "boolean" ? [true, false] : list(of.enum);
  if (choices.length > 0) {
    return (
      <select
        required={isRequired}
        value={given}
        onChange={(event) => onChange(choices.find((choice) => show(choice) === event.currentTarget.value))}
      >
        <option value="">{usual === "" ? "not set" : `${usual} (default)`}</option>
        {choices.map((choice) => (
          <option key={show(choice)}>{show(choice)}</option>
        ))}
      </select>
    );
  }
  if (of.type === "integer" || of.type === "number") {
    return (
      <input
        type="number"
        required={isRequired}
        step={of.type === "integer" ? 1 : "any"}
        min={show(of.minimum)}
        max={show(of.maximum)}
        placeholder={usual}
        value={given}
        onInput={(event) =>
          onChange(Number.isNaN(event.currentTarget.valueAsNumber) ? undefined : event.currentTarget.valueAsNumber)
        }
      />
    );
  }
  if (of.type === "string") {
    return (
      <input
        required={isRequired}
        placeholder={usual}
        value={given}
        onInput={(event) => onChange(event.currentTarget.value || undefined)}
      />
    );
  }
  return (
    <input
      placeholder={usual || "JSON"}
      onChange={(event) => {
        const written = event.currentTarget.value;
        try {
          onChange(written === "" ? undefined : (JSON.parse(written) as JsonValue));
          event.currentTarget.setCustomValidity("");
        } catch {
          event.currentTarget.setCustomValidity('This must be JSON, such as ["a", "b"].');
        }
        event.currentTarget.reportValidity();
      }}
    />
  );
}

function show(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
}
