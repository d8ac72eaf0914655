import { Bar } from "../components/Page";

export default function Workers() {
  return <Bar crumbs={[{ word: "Workers" }]} />;
}
