/** The exit code of health checks, as Nagios plugins have it. CLI.md: "Exit codes". */

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
