/** A question before what can't be undone. */

import type { ComponentChildren, JSX } from "preact";

import { Modal } from "./modal";

interface Props {
  readonly title: string;
  readonly yes: string;
  readonly no: string;
  readonly children: ComponentChildren;
  readonly onYes: () => void;
  readonly onClose: () => void;
}

export function Confirm({ title, yes, no, children, onYes, onClose }: Props): JSX.Element {
  const sure = () => {
    onClose();
    onYes();
  };
  return (
    <Modal label={title} class="question" onClose={onClose}>
      <h2>{title}</h2>
      {children}
      <div class="choices">
        <button type="button" class="button" onClick={onClose} autofocus>
          {no}
        </button>
        <button type="button" class="button danger solid" onClick={sure}>
          {yes}
        </button>
      </div>
    </Modal>
  );
}
