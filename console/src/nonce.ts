/** The page's nonce for styles created by scripts: the content security policy allows no others. */
export const nonce = document.querySelector<HTMLElement>("script[nonce]")?.nonce ?? "";
// Read by react-remove-scroll, which Mantine's dialogs use.
(globalThis as { __webpack_nonce__?: string }).__webpack_nonce__ = nonce;
