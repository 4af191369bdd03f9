# Completion of bash for the command remora. shellcheck shell=bash
_remora() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev= command=${COMP_WORDS[1]} wants i word
  COMPREPLY=()
  [ "$COMP_CWORD" -gt 0 ] && prev=${COMP_WORDS[COMP_CWORD - 1]}
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "repl call run --help --version" -- "$cur")
    return
  fi
  local options="--node --timeout --connect-timeout --interpreter --env --cwd --help --version -o -F"
  case $command in
  repl) ;;
  call) options+=" --json --json-args --verbose" ;;
  run) options+=" --json --input --parallel" ;;
  *) return ;;
  esac
  # What stands behind the options: how many words, and whether the command of `run` has begun.
  local operands=0 begun=0 skip=0
  for ((i = 2; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [ $skip = 1 ]; then
      skip=0
    elif [ "$word" = -- ]; then
      begun=1
      break
    elif [ $operands = 0 ] && [[ $word == -?* ]]; then
      case $word in
      --*=*) ;;
      -n | --node | -t | --timeout | --connect-timeout | -i | --interpreter | -e | --env | -C | --cwd | -o | -F | --input | -p | --parallel) skip=1 ;;
      esac
    else
      operands=$((operands + 1))
    fi
  done
  if [ $skip = 1 ]; then
    case $prev in
    -n | --node) mapfile -t COMPREPLY < <(compgen -W "python ruby lua perl c" -- "$cur") ;;
    -e | --env) mapfile -t COMPREPLY < <(compgen -v -- "$cur") ;;
    -F | -i | --interpreter | --input) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    esac
  elif [ $begun = 1 ]; then
    if [ "${COMP_WORDS[COMP_CWORD - 1]}" = -- ]; then
      mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    else
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
  elif [ $operands = 0 ] && [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options -" -- "$cur")
  elif [ $operands = 0 ] || [ "$command" = run ]; then
    local hosts
    # The names of ~/.ssh/config, and those that bash knows (HOSTFILE, /etc/hosts).
    hosts=$(sed -nE 's/^[[:space:]]*[Hh][Oo][Ss][Tt][[:space:]=]+//p' ~/.ssh/config 2>/dev/null | tr ' ' '\n' | grep -v '[*?!]')
    mapfile -t COMPREPLY < <(compgen -A hostname -W "- $hosts" -- "$cur")
  fi
}
complete -F _remora remora
