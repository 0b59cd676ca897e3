/** What the other rooms may use of reports. */
export { type EvaluationInput, evaluateScores, summariseScores } from './evaluate.ts';
export {
  type Evaluation,
  evaluationSchema,
  type Figures,
  figuresSchema,
  type PooledEvaluation,
  pooledEvaluationSchema,
  type SplitEvaluation,
  splitEvaluationSchema,
} from './figures.ts';
export { type ModelCard, modelCardSchema } from './model-card.ts';
export { renderModelCard } from './model-card-text.ts';
export { poolEvaluations } from './pool.ts';
export { auroc } from './ranks.ts';
export { renderReport } from './report.ts';
export { type ComparisonRow, type Missing, missingSchema, type ReportData, reportDataSchema } from './report-data.ts';
export { comparisonTable } from './table.ts';
export {
  atOperatingPoint,
  chooseThreshold,
  DEFAULT_THRESHOLD,
  type OperatingPoint,
  type ThresholdRule,
  thresholdRuleSchema,
} from './threshold.ts';
