/** Changed by hand, or by a test, to see `mastra dev` pick up a save. */
export const motto = 'We answer within the day.';
