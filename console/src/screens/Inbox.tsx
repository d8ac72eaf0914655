import { Bar } from "../components/Page";

export default function Inbox() {
  return <Bar crumbs={[{ word: "Inbox" }]} />;
}
