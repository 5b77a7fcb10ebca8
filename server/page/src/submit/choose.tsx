/** Which images: files that are dropped or chosen, and addresses. */

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";

import { bytes, count } from "../format";
import { Icon } from "../ui/icons";

const SHOWN = 24;

interface Props {
  readonly files: readonly File[];
  readonly onFiles: (files: readonly File[]) => void;
  readonly urls: string;
  readonly onUrls: (urls: string) => void;
}

export function Choose({ files, onFiles, urls, onUrls }: Props): JSX.Element {
  const [isOver, setOver] = useState(false);
  const add = (more: FileList | null) => onFiles([...files, ...(more ?? [])]);
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    add(event.dataTransfer?.files ?? null);
  };
  const size = files.reduce((sum, file) => sum + file.size, 0);
  return (
    <section class="panel choose-images" aria-label="Images">
      <label
        class={`drop ${isOver ? "over" : ""}`}
        onDragOver={(event) => (event.preventDefault(), setOver(true))}
        onDragLeave={() => setOver(false)}
        onDrop={onDrop}
      >
        <input
          type="file"
          multiple
          class="visually-hidden"
          onChange={(event) => (add(event.currentTarget.files), (event.currentTarget.value = ""))}
        />
        <Icon name="upload" />
        <b>{files.length === 0 ? "Drop images here, or choose files" : "Add more"}</b>
        <span>{files.length === 0 ? "JPEG, PNG, WebP and more" : `${count(files.length)} chosen, ${bytes(size)}`}</span>
      </label>
      {files.length > 0 && (
        <ul class="chosen" aria-label="Chosen files">
          {files.slice(0, SHOWN).map((file, at) => (
            <Chosen
              file={file}
              key={`${file.name} ${at}`}
              onRemove={() => onFiles(files.filter((each) => each !== file))}
            />
          ))}
          {files.length > SHOWN && <li class="rest">and {count(files.length - SHOWN)} more</li>}
        </ul>
      )}
      <details open={urls !== ""}>
        <summary>Images by address</summary>
        <textarea
          rows={4}
          aria-label="Addresses, one a line"
          placeholder={"https://example.com/one.jpg\nhttps://example.com/two.jpg"}
          value={urls}
          onInput={(event) => onUrls(event.currentTarget.value)}
        />
      </details>
    </section>
  );
}

function Chosen({ file, onRemove }: { readonly file: File; readonly onRemove: () => void }): JSX.Element {
  const url = useMemo(() => URL.createObjectURL(file), [file]);
  const [isShown, setShown] = useState(true);
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  return (
    <li>
      {isShown ? <img src={url} alt="" onError={() => setShown(false)} /> : <Icon name="picture" />}
      <bdi dir="auto" title={file.name}>
        {file.name}
      </bdi>
      <button type="button" class="button quiet" aria-label={`Remove ${file.name}`} onClick={onRemove}>
        <Icon name="close" />
      </button>
    </li>
  );
}
