import { Button } from "../Button";
import classes from "./Settings.module.css";

interface Pages {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage(): Promise<unknown>;
}
/** The next page of a list, on request. */
export const More = ({ of }: { of: Pages }) =>
  of.hasNextPage ? (
    <p className={classes.more}>
      <Button disabled={of.isFetchingNextPage} onClick={() => void of.fetchNextPage()}>
        More
      </Button>
    </p>
  ) : null;
