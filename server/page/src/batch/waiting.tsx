/** Why a batch's items wait, where something but the workers' own pace keeps them. */

import type { JSX } from "preact";

import { type BatchStatusResult, WaitingReason } from "../contract/imagebatch/v1/types_pb";
import { duration, items, milliseconds } from "../format";
import { useNow } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { isTerminal } from "./status";

const REASONS: Readonly<Record<WaitingReason, string>> = {
  [WaitingReason.UNSPECIFIED]: "Waiting",
  [WaitingReason.BEHIND_OTHERS]: "Other batches are before this one",
  [WaitingReason.HOST_LIMIT]: "The images’ host is asked as often as it bears",
  [WaitingReason.HOST_ASKED_TO_WAIT]: "The images’ host has asked to be left alone for a while",
  [WaitingReason.PROVIDER_LIMIT]: "The model’s endpoint takes no more at this time",
  [WaitingReason.BACKOFF]: "What failed is attempted again soon",
  [WaitingReason.PAUSED]: "Paused: nothing more is begun until it is resumed",
  [WaitingReason.NO_WORKER]: "No worker can run this operation: see whether one is up and offers it",
  [WaitingReason.NO_ROOM]: "The server has as many images in hand as it takes",
  [WaitingReason.STORE_AWAY]: "The server’s store takes no outcomes at this time",
};

export function Waiting({ batch }: { readonly batch: BatchStatusResult }): JSX.Element | null {
  const now = useNow();
  const { waiting } = batch;
  if (waiting === undefined || isTerminal(batch)) return null;
  const left = waiting.until === undefined ? 0 : milliseconds(waiting.until) - now;
  return (
    <p class="waiting-for" role="status">
      <Icon name="waiting" />
      <span>
        {REASONS[waiting.reason] ?? REASONS[WaitingReason.UNSPECIFIED]}
        {waiting.itemsAhead > 0 && `: ${items(waiting.itemsAhead)} ahead`}
        {left > 0 && `, about ${duration(left)} more`}
        {waiting.detail !== "" && (
          <>
            {" "}
            · <bdi>{waiting.detail}</bdi>
          </>
        )}
      </span>
    </p>
  );
}
