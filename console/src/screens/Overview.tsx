import { Bar } from "../components/Page";

export default function Overview() {
  return <Bar crumbs={[{ word: "Overview" }]} />;
}
