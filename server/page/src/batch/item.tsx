/** One item: its picture beside what was made of it. */

import type { JsonObject } from "@bufbuild/protobuf";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { batches, explained } from "../api";
import type { BatchItemResult } from "../contract/imagebatch/v1/types_pb";
import { count, duration, moment } from "../format";
import { nameOf, object, outcomeOf, text, toneOf, verdictOf } from "../items";
import { Badge, Icon } from "../ui/icons";
import { Modal } from "../ui/modal";
import { Detail, Trouble } from "../ui/parts";
import { Output } from "./output";
import { alternative, largeUrl } from "./picture";
import { Places, placesOf } from "./places";

interface Props {
  readonly batchId: string;
  readonly itemIndex: number;
  /** What the list has of the item already, if it has. */
  readonly known: BatchItemResult | undefined;
  readonly onPrevious: (() => void) | undefined;
  readonly onNext: (() => void) | undefined;
  readonly onClose: () => void;
}

export function ItemView({ batchId, itemIndex, known, onPrevious, onNext, onClose }: Props): JSX.Element {
  const [read, trouble] = useItem(batchId, itemIndex, known === undefined);
  const item = known ?? read;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target instanceof HTMLInputElement) return;
    if (event.key === "ArrowLeft") onPrevious?.();
    else if (event.key === "ArrowRight") onNext?.();
    else return;
    event.preventDefault();
  };
  return (
    <Modal label={`Item ${itemIndex}`} class="item" onClose={onClose} onKeyDown={onKeyDown}>
      <header>
        <h2>
          {item === undefined ? `Item ${itemIndex}` : <bdi dir="auto">{nameOf(item)}</bdi>}
          <small>#{count(itemIndex)}</small>
        </h2>
        <div class="moves">
          <button
            type="button"
            class="button quiet"
            aria-label="Previous item"
            disabled={!onPrevious}
            onClick={onPrevious}
          >
            <Icon name="left" />
          </button>
          <button type="button" class="button quiet" aria-label="Next item" disabled={!onNext} onClick={onNext}>
            <Icon name="right" />
          </button>
          <button type="button" class="button quiet" aria-label="Close" onClick={onClose} autofocus>
            <Icon name="close" />
          </button>
        </div>
      </header>
      <Trouble>{trouble}</Trouble>
      {item !== undefined && (
        <div class="sides">
          <Picture item={item} key={item.itemIndex} />
          <Facts item={item} />
        </div>
      )}
    </Modal>
  );
}

/** The item as the server has it, if the list doesn't. */
function useItem(batchId: string, index: number, isWanted: boolean): [BatchItemResult | undefined, string | undefined] {
  const [item, setItem] = useState<BatchItemResult>();
  const [trouble, setTrouble] = useState<string>();
  useEffect(() => {
    if (!isWanted) return;
    const stopping = new AbortController();
    setTrouble(undefined);
    batches
      .getBatchResults({ batchId, offset: index, limit: 1 }, { signal: stopping.signal })
      .then(({ results: [found] }) => {
        setItem(found);
        if (found === undefined) setTrouble(`This batch has no item ${index}.`);
      })
      .catch((error: unknown) => stopping.signal.aborted || setTrouble(explained(error)));
    return () => stopping.abort();
  }, [batchId, index, isWanted]);
  return [item?.itemIndex === index ? item : undefined, trouble];
}

function Picture({ item }: { readonly item: BatchItemResult }): JSX.Element {
  const url = largeUrl(item);
  const [isBroken, setBroken] = useState(false);
  const places = placesOf(item);
  const source = text(item.inputData?.image_url);
  if (url === undefined || isBroken) {
    return (
      <figure class="no-picture">
        <Icon name="picture" />
        <figcaption>
          {isBroken ? "This is nothing that a browser can show." : "The server keeps no copy of this picture."}
        </figcaption>
        {source !== undefined && <Source url={source} />}
      </figure>
    );
  }
  return (
    <figure>
      <Places places={places}>
        <img src={url} alt={alternative(item)} onError={() => setBroken(true)} />
      </Places>
      {item.storedImageUrl === undefined && <figcaption>A small copy; the server doesn’t keep the picture.</figcaption>}
    </figure>
  );
}

function Source({ url }: { readonly url: string }): JSX.Element {
  return /^https?:\/\//i.test(url) ? (
    <a href={url} target="_blank" rel="noopener noreferrer" dir="ltr">
      {url}
    </a>
  ) : (
    <code>{url}</code>
  );
}

function Facts({ item }: { readonly item: BatchItemResult }): JSX.Element {
  const tone = toneOf(item);
  const metadata = object(item.inputData?.metadata);
  return (
    <div class="facts">
      <p class={`verdict ${tone}`}>
        <Badge tone={tone} />
        <b>{verdictOf(item)}</b>
        {item.processingTimeMs !== undefined && <span>in {duration(Number(item.processingTimeMs))}</span>}
      </p>
      {tone !== "waiting" && (
        <p class="said" dir="auto">
          {outcomeOf(item)}
        </p>
      )}
      {item.outputData !== undefined && <Output output={item.outputData} />}
      <dl class="details">
        <Detail name="Item">{item.itemId}</Detail>
        <Detail name="Source">{sourceOf(item)}</Detail>
        <Detail name="Attempts">{item.attempts > 0 && item.attempts}</Detail>
        <Detail name="Done">{item.completedAt && moment(item.completedAt)}</Detail>
        <Detail name="Same as">{item.duplicateOfIndex !== undefined && `item #${count(item.duplicateOfIndex)}`}</Detail>
        <Detail name="SHA-256">{item.imageSha256 && <code>{item.imageSha256}</code>}</Detail>
        {metadata !== undefined && <Rest name="Metadata" value={metadata} />}
        {item.outputData !== undefined && <Rest name="Output" value={item.outputData} />}
      </dl>
    </div>
  );
}

function sourceOf(item: BatchItemResult): ComponentChildren {
  const url = text(item.inputData?.image_url);
  if (url !== undefined) return <Source url={url} />;
  return text(item.inputData?.object_key) !== undefined && "Uploaded";
}

/** All of something, as JSON, for those who want it. */
function Rest({ name, value }: { readonly name: string; readonly value: JsonObject }): JSX.Element {
  return (
    <Detail name={name}>
      <details>
        <summary>JSON</summary>
        <pre dir="auto" tabIndex={0}>
          {JSON.stringify(value, null, 2)}
        </pre>
      </details>
    </Detail>
  );
}
