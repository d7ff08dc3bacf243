/** The exit code of health checks, as Nagios plugins have it. CLI.md: "Exit codes". */
import type { AlertView } from '../../protocol/alert-views.ts';

/** The worse of the status and of the alerts that fire and are not silenced. */
export function exitCodeOfHealthAndAlerts(
  status: string,
  alerts: readonly Pick<AlertView, 'severity' | 'silencedUntil'>[],
): number {
  const code = exitCodeOfHealth(status);
  if (code === EXIT_HEALTH_UNKNOWN) return code;
  const ofAlerts = alerts
    .filter(({ silencedUntil }) => silencedUntil === null)
    .map(({ severity }) => (severity === 'critical' ? 2 : 1));
  return Math.max(code, ...ofAlerts);
}

/** 0 all well, 1 warning, 2 critical; 3 for whatever else: no node, no gateway, a word of a later version. */
export function exitCodeOfHealth(status: string): number {
  switch (status) {
    case 'online':
      return 0;
    case 'limited':
      return 1;
    case 'error':
    case 'offline':
      return 2;
    default:
      return EXIT_HEALTH_UNKNOWN;
  }
}

export const EXIT_HEALTH_UNKNOWN = 3;
