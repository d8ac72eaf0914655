import { Bar } from "../components/Page";

export default function Run() {
  return <Bar crumbs={[{ word: "Run" }]} />;
}
