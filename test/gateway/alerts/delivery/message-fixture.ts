/** One message for the tests of those who carry it. */
import type { AlertMessage } from '../../../../src/gateway/alerts/delivery/alert-message.ts';

export const FIRING: AlertMessage = {
  type: 'alert.firing',
  timestamp: '2026-01-01T00:05:00.000Z',
  data: {
    alert: '0123456789',
    rule: 'disk',
    severity: 'critical',
    node: 'node-1',
    nodeId: 'id-1',
    labels: { site: 'berlin' },
    summary: 'disk /a <b> & *c* @everyone 95%',
    since: '2026-01-01T00:00:00.000Z',
    resolvedAt: null,
    reason: null,
  },
};

export const RESOLVED: AlertMessage = {
  ...FIRING,
  type: 'alert.resolved',
  data: { ...FIRING.data, resolvedAt: '2026-01-01T00:12:00.000Z' },
};
