import { FocusTrap, Portal } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { X } from "lucide-react";
import { useEffect, type ReactNode } from "react";
import classes from "./Side.module.css";

/** What is open of a list: beside it, and in a narrow window, when picked, a sheet over its lower part. */
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
  const sheet = narrow && picked;
  useEffect(() => {
    if (!sheet) return;
    const before = document.activeElement as HTMLElement | null;
    return () => before?.focus?.();
  }, [sheet]);
  if (!narrow)
    return (
      <aside className={classes.side} aria-label={label}>
        {children}
      </aside>
    );
  if (!picked) return null;
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
            // A dialog over the sheet is its child in React, and closes by itself.
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
