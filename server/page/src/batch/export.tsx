/** A batch's results as a file. */

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { explained } from "../api";
import type { BatchStatusResult } from "../contract/imagebatch/v1/types_pb";
import { bytes } from "../format";
import { Icon } from "../ui/icons";
import { Trouble } from "../ui/parts";
import { type Form, FORMS, save } from "./saving";

export function Export({ batch }: { readonly batch: BatchStatusResult }): JSX.Element {
  const menu = useRef<HTMLDetailsElement>(null);
  const [written, setWritten] = useState<number>();
  const [trouble, setTrouble] = useState<string>();
  const begin = async (form: Form) => {
    setTrouble(undefined);
    setWritten(0);
    try {
      await save(batch.batchId, form, setWritten);
      menu.current!.open = false;
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) setTrouble(explained(error));
    } finally {
      setWritten(undefined);
    }
  };
  return (
    <details
      class="menu"
      ref={menu}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        menu.current!.open = false;
        menu.current!.querySelector("summary")?.focus();
      }}
    >
      <summary class="button">
        <Icon name="download" />
        Export
      </summary>
      <div class="list">
        {FORMS.map((form) => (
          <button type="button" key={form.suffix} disabled={written !== undefined} onClick={() => begin(form)}>
            <b>{form.name}</b>
            <span>{form.about}</span>
          </button>
        ))}
        {written !== undefined && <p role="status">{bytes(written)} written …</p>}
        <Trouble>{trouble}</Trouble>
        <p>
          Parquet, a page with pictures, and exports that can be resumed: <br />
          <code>imagebatch export {batch.batchId} -o results.parquet</code>
        </p>
      </div>
    </details>
  );
}
