import { useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { Clock, Keyboard, LogOut, Moon, Sun } from "lucide-react";
import { unwrap, client } from "../../api/client";
import { setZone, zone } from "../../format";
import type { Offer } from "../../live/offers";

/** Returns the reason if it failed and the session is still open. */
async function signOut(): Promise<string | undefined> {
  try {
    await unwrap(client.DELETE("/api/v1/session"));
  } catch (error) {
    return (error as Error).message;
  }
  location.assign("/sign-in");
}
interface Handlers {
  onKeys(): void;
  onZone(): void;
  /** Signing out failed, with this message. */
  onSignOutError(message: string | undefined): void;
}
/** The user's own settings, available on every page. The last one signs out. */
export function useActs({ onKeys, onZone, onSignOutError }: Handlers): Offer[] {
  const dark = useComputedColorScheme() === "dark";
  const { setColorScheme } = useMantineColorScheme();
  const other = zone() === "utc" ? "local" : "utc";
  return [
    { word: dark ? "Light" : "Dark", Icon: dark ? Sun : Moon, act: () => setColorScheme(dark ? "light" : "dark") },
    {
      word: other === "utc" ? "Times in UTC" : "Times in my zone",
      Icon: Clock,
      act: () => {
        setZone(other);
        onZone();
      },
    },
    { word: "Keyboard shortcuts", Icon: Keyboard, keys: ["?"], act: onKeys },
    { word: "Sign out", Icon: LogOut, act: () => void signOut().then(onSignOutError) },
  ];
}
