/** What the numbers of a column are; `times` is a ratio, `text` is printed as it is. */
export type Unit = 'bytes' | 'ms' | 'times' | 'count' | 'text';

export type Column = { id: string; title: string; unit: Unit };

/** `null` is a value that was not measured, because its peer is missing or it has none. */
export type Row = Readonly<Record<string, number | string | null>>;

export type ResultTable = { title: string; columns: readonly Column[]; rows: readonly Row[] };

/** A figure to reach: `measured` is to be at most `limit`. */
export type Goal = { what: string; measured: number | null; limit: number; unit: Unit };

export type BenchmarkResult = {
  tables: readonly ResultTable[];
  goals: readonly Goal[];
  /** What was found to be right, one sentence each; what is wrong throws instead. */
  checks: readonly string[];
  /** What a reader must know to judge the numbers. */
  notes: readonly string[];
};

export type BenchmarkContext = {
  /** 1 is the size that docs/performance.md speaks of. */
  scale: number;
  seed: number;
  /** Empty, on a real disk, removed after the run. */
  directory: string;
  /** Tells whoever waits what is being done. */
  say: (line: string) => void;
};

/** Generates its input from the seed, measures us and the peers in turn, and throws where a result is not right. */
export type Benchmark = {
  name: string;
  summary: string;
  run: (context: BenchmarkContext) => Promise<BenchmarkResult>;
};
