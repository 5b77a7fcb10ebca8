/** Keys that make a repeat safe. (`crypto.randomUUID` is there on https and localhost only.) */

export function requestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
