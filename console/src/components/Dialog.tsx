import { FocusTrap, Portal } from "@mantine/core";
import { useEffect, type ReactNode } from "react";
import { visible } from "../unseen";
import classes from "./Dialog.module.css";

/** A box over the page. Escape and a click beside it close it; focus stays in it and goes back afterwards. */
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
