/** Figures for tests of the history: none at all, and any. */
import fc from 'fast-check';
import { FIGURES, type Figures } from '../../../../src/gateway/monitoring/history/figures.ts';

export const NO_FIGURES = Object.fromEntries(FIGURES.map(({ name }) => [name, null])) as Figures;

export const anyFigures: fc.Arbitrary<Figures> = fc.record(
  Object.fromEntries(
    FIGURES.map(({ name }) => [
      name,
      fc.option(fc.double({ min: name === 'skewMs' || name === 'temperatureC' ? -1e6 : 0, max: 1e6, noNaN: true })),
    ]),
  ),
) as fc.Arbitrary<Figures>;
