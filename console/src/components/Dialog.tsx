import { FocusTrap, Portal } from "@mantine/core";
import { useEffect, type ReactNode } from "react";
import { visible } from "../unseen";
import classes from "./Dialog.module.css";

/** A modal dialog. Escape or a click outside closes it; focus is trapped, and restored afterwards. */
export function Dialog({
  title,
  onClose,
  children,
  wide,
}: {
  title: string;
  onClose(): void;
  children: ReactNode;
  wide?: boolean;
}) {
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    return () => before?.focus?.();
  }, []);
  return (
    <Portal>
      <div className={classes.veil} onClick={onClose}>
        <FocusTrap active>
          <div
            className={classes.box}
            data-wide={wide || undefined}
            role="dialog"
            aria-modal
            aria-label={visible(title)}
            onClick={(e) => e.stopPropagation()}
            onKeyDown={(e) => {
              if (e.key === "Escape") onClose();
            }}
          >
            {children}
          </div>
        </FocusTrap>
      </div>
    </Portal>
  );
}
