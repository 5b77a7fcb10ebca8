/** How far the receiver that a batch's end is told to has been told. */

import type { JSX } from "preact";

import { type BatchNotification, NotificationState } from "../contract/imagebatch/v1/types_pb";
import { count, duration, milliseconds } from "../format";
import { useNow } from "../ui/hooks";
import { Badge } from "../ui/icons";

const TOLD = {
  [NotificationState.PENDING]: ["waiting", "The receiver has not taken the news of the end yet"],
  [NotificationState.DELIVERED]: ["success", "The receiver was told of the end"],
  [NotificationState.FAILED]: ["failed", "The receiver did not take the news of the end, and it was given up"],
} as const;

export function Notified({
  notification,
}: {
  readonly notification: BatchNotification | undefined;
}): JSX.Element | null {
  const now = useNow();
  if (notification === undefined || notification.state === NotificationState.UNSPECIFIED) return null;
  const { state, attempts, lastHttpStatus, nextAt } = notification;
  const [tone, sentence] = TOLD[state];
  const next = nextAt === undefined ? undefined : milliseconds(nextAt) - now;
  return (
    <p class={`notified ${tone}`} role="status">
      <Badge tone={tone} />
      <span>
        {sentence}
        {attempts > 0 && ` · ${attempts === 1 ? "1 attempt" : `${count(attempts)} attempts`}`}
        {lastHttpStatus !== undefined && `, answered ${lastHttpStatus}`}
        {next !== undefined && (next > 0 ? `, the next one in ${duration(next)}` : ", the next one is due")}
      </span>
    </p>
  );
}
