/** What a shell must know to complete `fleet`: how to ask it. */

const BASH = `# fleet completion for bash: fleet completion bash > /etc/bash_completion.d/fleet
_fleet() {
  local IFS=$'\\n'
  COMPREPLY=($(fleet __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _fleet fleet
`;

const ZSH = `#compdef fleet
# fleet completion for zsh: fleet completion zsh > "\${fpath[1]}/_fleet"
_fleet() {
  local -a replies
  replies=("\${(@f)$(fleet __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${replies[1]}" ]]; then compadd -a replies; else _files; fi
}
if [[ "\${zsh_eval_context[-1]}" == loadautofunc ]]; then _fleet "$@"; else compdef _fleet fleet; fi
`;

const FISH = `# fleet completion for fish: fleet completion fish > ~/.config/fish/completions/fleet.fish
complete -c fleet -a '(fleet __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`;

export const COMPLETION_SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
