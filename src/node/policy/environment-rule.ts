/** Which environment variables the gateway may set for a command. */
import { matchesGlob } from './glob.ts';

/**
 * Variables that make a shell, the dynamic loader, an interpreter or a common tool run other code than the command names.
 * ld.so(8), bash(1) "Shell Variables", zshparam(1), environ(7), and the manuals of the tools.
 */
const LOADER_VARIABLES = [
  ...['PATH', 'LD_*', 'DYLD_*', 'GCONV_PATH', 'NLSPATH', 'LOCPATH', 'MALLOC_*', 'GLIBC_TUNABLES', 'HOSTALIASES'],
  ...[
    'ENV',
    'BASH_ENV',
    'SHELLOPTS',
    'BASHOPTS',
    'PS4',
    'PROMPT_COMMAND',
    'IFS',
    'CDPATH',
    'SHELL',
    'ZDOTDIR',
    'FPATH',
  ],
  ...['HOME', 'XDG_*', 'TMPDIR', 'TERMINFO', 'TERMINFO_DIRS', 'TERMCAP', 'FISH_*', 'fish_*'],
  ...['PYTHON*', 'PERL*', 'RUBY*', 'GEM_*', 'BUNDLE_*', 'NODE_*', 'npm_*', 'NPM_*', 'LUA_*', 'PHPRC', 'PHP_*'],
  ...[
    'JAVA_*',
    'JDK_*',
    '_JAVA_OPTIONS',
    'CLASSPATH',
    'DOTNET_*',
    'CORECLR_*',
    'COR_*',
    'TCLLIBPATH',
    'R_*',
    'JULIA_*',
  ],
  ...['GIT_*', 'SSH_*', 'GPG_*', 'DOCKER_*', 'KUBECONFIG', 'ANSIBLE_*', 'OPENSSL_*', 'SSL_*', 'CURL_*', 'WGETRC'],
  ...['PAGER', '*_PAGER', 'LESS*', 'MANPAGER', 'EDITOR', 'VISUAL', 'BROWSER', 'SUDO_*', 'MAKEFLAGS', 'MAKEFILES', 'CC'],
  ...['SYSTEMD_*', 'DBUS_*', 'TAR_OPTIONS', 'RSYNC_*', 'VIMINIT', 'EXINIT', 'GTK_*', 'QT_*', 'G_*', 'GIO_*'],
];

/** Whether a variable of that name can make another program run than the one that is named. Incomplete, as each such list is. */
export function isLoaderVariable(name: string): boolean {
  return LOADER_VARIABLES.some((pattern) => matchesGlob(pattern, name));
}

/**
 * Whether the rule lets the gateway set `name`. A `*` in the rule never means a loader variable: one that is needed is written out.
 * Without a rule (undefined) everything else may be set.
 */
export function mayBeSet(name: string, allowed: readonly string[] | undefined): boolean {
  if (allowed?.includes(name)) return true;
  if (isLoaderVariable(name)) return false;
  return allowed === undefined || allowed.some((pattern) => matchesGlob(pattern, name));
}
