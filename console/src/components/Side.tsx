import { FocusTrap, Portal } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { X } from "lucide-react";
import { useEffect, type ReactNode } from "react";
import classes from "./Side.module.css";

/** A bottom sheet for narrow windows. Escape or a tap outside closes it; focus is trapped, and restored afterwards. */
export function Sheet({ label, onClose, children }: { label: string; onClose(): void; children: ReactNode }) {
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    return () => before?.focus?.();
  }, []);
  return (
    <Portal>
      <div className={classes.veil} onClick={onClose} aria-hidden />
      <FocusTrap active>
        <div
          className={classes.sheet}
          role="dialog"
          aria-modal
          aria-label={label}
          onKeyDown={(e) => {
            // A dialog above the sheet is its child in React, and closes itself.
            if (e.key === "Escape" && e.currentTarget.contains(e.target as Node)) onClose();
          }}
        >
          <header className={classes.grip}>
            <button type="button" data-autofocus onClick={onClose} aria-label="Close">
              <X size={18} aria-hidden />
            </button>
          </header>
          <div className={classes.inner}>{children}</div>
        </div>
      </FocusTrap>
    </Portal>
  );
}

/** The selected entry of a list: beside the list, or, in a narrow window and once picked, in a bottom sheet. */
export function Side({
  label,
  picked,
  onClose,
  children,
}: {
  label: string;
  picked: boolean;
  onClose(): void;
  children: ReactNode;
}) {
  const narrow = useMediaQuery("(max-width: 1100px)", matchMedia("(max-width: 1100px)").matches);
  if (!narrow)
    return (
      <aside className={classes.side} aria-label={label}>
        {children}
      </aside>
    );
  if (!picked) return null;
  return (
    <Sheet label={label} onClose={onClose}>
      {children}
    </Sheet>
  );
}
