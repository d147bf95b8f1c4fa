package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

const bashCompletion = `# bash completion for testr: eval "$(testr completion bash)"
_testr() {
  local words cword cur
  words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  cur="${COMP_WORDS[COMP_CWORD]}"
  [[ "$cur" == -* ]] && words+=("$cur")
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${words[@]}" ` + completionFlag + ` 2>/dev/null)" -- "$cur"))
}
complete -o default -F _testr testr
`

const zshCompletion = `#compdef testr
# zsh completion for testr: eval "$(testr completion zsh)"
_testr() {
  local -a opts
  local cur=${words[CURRENT]}
  if [[ "$cur" == -* ]]; then
    opts=("${(@f)$(${words[@]:0:#words[@]-1} ${cur} ` + completionFlag + ` 2>/dev/null)}")
  else
    opts=("${(@f)$(${words[@]:0:#words[@]-1} ` + completionFlag + ` 2>/dev/null)}")
  fi
  if [[ -n "${opts[1]}" ]]; then
    _describe 'values' opts
  else
    _files
  fi
}
compdef _testr testr
`

func newCompletionCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that completes testr's command lines",
		ArgsUsage: "bash|zsh|fish",
		Description: `Put this into the start-up file of your shell:

   eval "$(testr completion bash)"
   eval "$(testr completion zsh)"
   testr completion fish | source`,
		Action: func(c *cli.Context) error {
			return runCompletion(c, env)
		},
	}
}

func runCompletion(c *cli.Context, env *environment) error {
	var script string
	switch shell := c.Args().First(); {
	case c.NArg() == 1 && shell == "bash":
		script = bashCompletion
	case c.NArg() == 1 && shell == "zsh":
		script = zshCompletion
	case c.NArg() == 1 && shell == "fish":
		var err error
		if script, err = c.App.ToFishCompletion(); err != nil {
			return fmt.Errorf("make the completion for fish: %w", err)
		}
	default:
		return usage(fmt.Errorf("completion wants the name of a shell: bash, zsh or fish"))
	}
	_, err := fmt.Fprint(env.stdout, script)
	return unlessGone(err)
}
