import { useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { Clock, Keyboard, LogOut, Moon, Sun } from "lucide-react";
import { ask, client } from "../../api/client";
import { setZone, zone } from "../../format";
import type { Offer } from "../../live/offers";

/** Answers why not, where the session is still open. */
async function signOut(): Promise<string | undefined> {
  try {
    await ask(client.DELETE("/api/v1/session"));
  } catch (error) {
    return (error as Error).message;
  }
  location.assign("/sign-in");
}
interface Then {
  onKeys(): void;
  onZone(): void;
  /** Signing out failed, for this reason. */
  onStillIn(why: string | undefined): void;
}
/** What one sets for oneself, from wherever one is. The last one ends the session. */
export function useActs({ onKeys, onZone, onStillIn }: Then): Offer[] {
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
    { word: "Keys", Icon: Keyboard, keys: ["?"], act: onKeys },
    { word: "Sign out", Icon: LogOut, act: () => void signOut().then(onStillIn) },
  ];
}
