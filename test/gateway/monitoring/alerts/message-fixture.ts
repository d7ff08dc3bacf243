/** Messages for the tests of those who carry them. */
import {
  type AlertMessage,
  type AlertNotice,
  combineNotices,
} from '../../../../src/gateway/monitoring/alerts/message.ts';

export const FIRING_NOTICE: AlertNotice = {
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

export const RESOLVED_NOTICE: AlertNotice = {
  ...FIRING_NOTICE,
  type: 'alert.resolved',
  data: { ...FIRING_NOTICE.data, resolvedAt: '2026-01-01T00:12:00.000Z' },
};

export const FIRING: AlertMessage = combineNotices([FIRING_NOTICE], 1);
export const RESOLVED: AlertMessage = combineNotices([RESOLVED_NOTICE], 1);

/** Of one rule: the notice of a node of its own. */
export function noticeOf(node: string, changes: Partial<AlertNotice['data']> = {}): AlertNotice {
  return {
    ...FIRING_NOTICE,
    data: { ...FIRING_NOTICE.data, alert: `alert-${node}`, node, nodeId: `id-${node}`, ...changes },
  };
}
