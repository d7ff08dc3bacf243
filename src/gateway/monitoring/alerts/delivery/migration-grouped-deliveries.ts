/**
 * Alerts of one rule and event for one receiver become one delivery (docs/adr/0026): all rows with the same batch, which is the id that the
 * receiver sees. A message from before may have been sent under its own id already.
 */
export const GROUPED_DELIVERIES = `
ALTER TABLE alert_deliveries ADD COLUMN rule TEXT;
ALTER TABLE alert_deliveries ADD COLUMN batch TEXT;
UPDATE alert_deliveries SET batch = id;
CREATE INDEX alert_deliveries_batch ON alert_deliveries (batch, seq) WHERE outcome = 'waiting';
`;
